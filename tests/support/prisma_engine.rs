//! Prisma's own schema engine, which is what `prisma migrate deploy` runs, on a database of the tests.
//!
//! The engine is the WebAssembly build that the `prisma` package 6.19.0 is made with, driven by
//! `prisma_engine.mjs`. The packages are fetched with npm into `target/test-packages/`, once, in
//! exactly these versions. A test that needs them fails with a clear message where it cannot.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;

use serde_json::{Value, json};

const PACKAGES: [&str; 4] = [
    "@prisma/schema-engine-wasm@6.19.0-26.2ba551f319ab1df4bc874a89965d8b3641056773",
    "@prisma/adapter-pg@6.19.0",
    "@prisma/driver-adapter-utils@6.19.0",
    "pg@8.16.3",
];

/// A running engine. It ends with this process, or when it is dropped.
pub struct Engine {
    child: Child,
    asks: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Engine {
    /// Starts one.
    pub fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/prisma_engine.mjs");
        let mut child = Command::new("node")
            .args([script, installed()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|why| panic!("these tests need Node.js (apt-get install nodejs npm): {why}"));
        let asks = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, asks, answers }
    }

    /// `prisma migrate deploy`: the migrations that it applied, or what stopped it.
    pub fn deploy(&mut self, url: &str, migrations: &Path) -> Result<Vec<String>, String> {
        let applied = self.ask(&json!({"url": url, "command": "deploy", "migrations": migrations}))?;
        Ok(serde_json::from_value(applied).unwrap())
    }

    /// `prisma migrate resolve --applied`
    pub fn mark_applied(&mut self, url: &str, migrations: &Path, name: &str) -> Result<(), String> {
        let asked = json!({"url": url, "command": "applied", "migrations": migrations, "name": name});
        self.ask(&asked).map(drop)
    }

    /// `prisma db push --accept-data-loss`, which makes a database equal to a `schema.prisma`; so do
    /// the older versions of LiteLLM after each deploy, with `migrate diff` and `db execute`.
    pub fn push(&mut self, url: &str, schema: &str) -> Result<(), String> {
        self.ask(&json!({"url": url, "command": "push", "schema": schema})).map(drop)
    }

    fn ask(&mut self, asked: &Value) -> Result<Value, String> {
        writeln!(self.asks.as_mut().unwrap(), "{asked}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let mut answer: Value = serde_json::from_str(&line).unwrap_or_else(|why| panic!("the engine ended: {why}"));
        match answer.get_mut("ok") {
            Some(value) => Ok(value.take()),
            None => Err(answer["error"].as_str().unwrap_or_default().to_owned()),
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.asks.take());
        let _ = self.child.wait();
    }
}

/// One installation at a time.
static FETCHING: Mutex<()> = Mutex::new(());

/// The folder with the packages.
fn installed() -> PathBuf {
    let _one = FETCHING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-packages");
    let done = packages.join("prisma-engine-6.19.0");
    if done.exists() {
        return done;
    }
    // Installed under a name of this process's own and renamed when whole.
    let own = packages.join(format!("prisma-engine.{}", std::process::id()));
    std::fs::create_dir_all(&own).unwrap();
    std::fs::write(own.join("package.json"), r#"{"private": true}"#).unwrap();
    let need = "these tests need Prisma's engine: npm and a package registry, or the installed packages in \
                target/test-packages/prisma-engine-6.19.0";
    let quiet = ["install", "--ignore-scripts", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"];
    let output = Command::new("npm").args(quiet).args(PACKAGES).current_dir(&own).output();
    let output = output.unwrap_or_else(|why| panic!("{need}: {why}"));
    assert!(output.status.success(), "{need}: {}", String::from_utf8_lossy(&output.stderr));
    if std::fs::rename(&own, &done).is_err() {
        assert!(done.exists(), "{} cannot be created", done.display());
        let _ = std::fs::remove_dir_all(&own);
    }
    done
}
