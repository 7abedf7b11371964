//! Reads what a version does to the schema when it starts, out of its own code.
//!
//! LiteLLM decides what is asked for (`litellm/proxy/proxy_cli.py`, `prisma_migration.py` and
//! `db/prisma_client.py`), the package that it pins does it (`litellm_proxy_extras/utils.py`). The
//! marks that are looked for were found by reading every version of the package up to 0.4.110 and
//! LiteLLM from 1.64.1 on. Code without them is reported, and the worst is assumed.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Startup;
use crate::domain::python::{arguments, block, plain, squeezed};

/// What LiteLLM asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Asked {
    /// The package's newer way of migrating.
    Newer,
    /// The package's older way of migrating.
    Older,
    /// `prisma db push --accept-data-loss`.
    Push,
}

/// What a version of LiteLLM asks for when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asks {
    /// Its pods, with no argument and no variable about it.
    pub pods: Asked,
    /// Its migration Job.
    pub job: Asked,
}

/// What becomes of a database that has tables and no migration table (Prisma's P3005).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Baseline {
    /// It is taken over when it equals the package's own schema, and refused otherwise.
    IfEqual,
    /// The migrations are recorded as applied, or nothing is done; no object changes.
    Records,
    /// It is made equal to the package's own schema, then the migrations are recorded as applied.
    Syncs,
}

/// One way of migrating.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Migrating {
    /// What it does when the migrations went well.
    pub startup: Startup,
    /// What it does without a migration table.
    pub baseline: Baseline,
}

/// What the code of a version of the package does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Code {
    /// The way that every version has.
    pub older: Migrating,
    /// The way that came with 0.4.68.
    pub newer: Option<Migrating>,
}

impl Code {
    /// What is assumed of code that nobody read.
    pub const WORST: Code =
        Code { older: Migrating { startup: Startup::DeploysThenSyncs, baseline: Baseline::Syncs }, newer: None };

    /// What comes of it.
    pub fn startup(self, asked: Asked) -> Startup {
        match asked {
            Asked::Push => Startup::Pushes,
            Asked::Older => self.older.startup,
            Asked::Newer => self.newer.unwrap_or(self.older).startup,
        }
    }

    /// The way that is meant where a version of LiteLLM does this with any package that it takes:
    /// the most dangerous of the ways that are no more dangerous than that.
    pub fn like(self, startup: Startup) -> Migrating {
        let newer = self.newer.filter(|_| self.older.startup > startup);
        newer.unwrap_or(self.older)
    }
}

/// A mark that was not found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unread {
    /// In which file.
    pub file: &'static str,
    /// What was looked for.
    pub mark: &'static str,
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has no {}", self.file, self.mark)
    }
}

impl std::error::Error for Unread {}

/// Reads `litellm_proxy_extras/utils.py`.
///
/// # Errors
/// The mark that is missing.
pub fn code(utils: &str) -> Result<Code, Unread> {
    let missing = |mark| Unread { file: "litellm_proxy_extras/utils.py", mark };
    let plain = plain(utils);
    let body = |name: &str| block(&plain, &format!("def {name}(")).map(squeezed);
    const DEPLOYS: [&str; 2] = [r#""migrate","deploy"]"#, "_deploy_with_idempotent_resolution("];
    let deployed = |body: &String| DEPLOYS.iter().filter_map(|mark| body.find(mark)).min();
    let body_of = ["_run_migrations", "setup_database"].into_iter().filter_map(body);
    let (older, at) = body_of
        .filter_map(|body| deployed(&body).map(|at| (body, at)))
        .next()
        .ok_or(missing("`migrate deploy` in setup_database"))?;
    let after = &older[at..];
    let well = after.find("exceptsubprocess.CalledProcessError").ok_or(missing("end of `migrate deploy`"))?;
    let well = &after[..well];
    // In the oldest versions this function only records.
    let executes = body("_resolve_all_migrations").is_some_and(|body| body.contains(r#""db","execute""#));
    let syncs = |code: &str| executes && code.contains("_resolve_all_migrations(");
    let helper = body("_deploy_with_idempotent_resolution").is_some_and(|body| syncs(&body));
    let startup = match (syncs(well) || helper, well.contains(r#""Nopendingmigrationstoapply"in"#)) {
        (true, false) => Startup::DeploysThenSyncs,
        (true, true) => Startup::DeploysThenSyncsIfPending,
        (false, _) => Startup::Deploys,
    };
    let refused = after.find(r#""P3005"in"#).map(|at| &after[at..]).ok_or(missing("answer to P3005"))?;
    let end = ["return", "continue", "raise"].iter().filter_map(|end| refused.find(end)).min();
    let baseline = if syncs(&refused[..end.unwrap_or(refused.len())]) { Baseline::Syncs } else { Baseline::Records };
    let newer = body("_setup_database_v2").map(|begins| {
        let whole = [Some(begins), body("_run_database_v2")].into_iter().flatten().collect::<String>();
        if !whole.contains(DEPLOYS[0]) {
            return Err(missing("`migrate deploy` in _setup_database_v2"));
        }
        let baseline = if syncs(&whole) {
            Baseline::Syncs
        } else if whole.contains("baseline_current_schema(") {
            Baseline::IfEqual
        } else {
            Baseline::Records
        };
        let startup = if syncs(&whole) { Startup::DeploysThenSyncs } else { Startup::Deploys };
        Ok(Migrating { startup, baseline })
    });
    Ok(Code { older: Migrating { startup, baseline }, newer: newer.transpose()? })
}

/// The files of LiteLLM that decide what is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Files<'a> {
    /// `litellm/proxy/proxy_cli.py`
    pub cli: &'a str,
    /// `litellm/proxy/prisma_migration.py`
    pub job: &'a str,
    /// `litellm/proxy/db/prisma_client.py`
    pub client: &'a str,
}

/// Reads what a version of LiteLLM asks for. Code that reads `DISABLE_SCHEMA_UPDATE` and
/// `general_settings.disable_prisma_schema_update` in another way than every version so far (the
/// second, when set, wins, and the migration Job sees only the first) is not understood either.
///
/// # Errors
/// The mark that is missing.
pub fn asks(files: Files<'_>) -> Result<Asks, Unread> {
    let missing = |mark| Unread { file: "litellm/proxy/proxy_cli.py", mark };
    let cli = plain(files.cli);
    let (functions, cli) = (cli.as_str(), squeezed(&cli));
    let client = squeezed(&plain(files.client));
    let wins = cli.contains(r#"should_update_prisma_schema(general_settings.get("disable_prisma_schema_update"))"#)
        && client.contains(r#"ifdisable_updatesisNone:disable_updates=os.getenv("DISABLE_SCHEMA_UPDATE","false")"#);
    wins.then_some(()).ok_or(missing("should_update_prisma_schema as it is known"))?;
    let handed =
        || cli.contains("setup=PrismaManager.setup_database,").then(|| arguments(&cli, "dependencies.setup"))?;
    let call = arguments(&cli, "PrismaManager.setup_database").or_else(handed);
    let call = call.ok_or(missing("call of setup_database"))?;
    let set = |option: &str| {
        let declared = cli.find(&format!(r#""{option}","#)).map(|at| &cli[at..])?;
        let end = declared.find("@click.option").unwrap_or(declared.len());
        Some(declared[..end].contains("default=True"))
    };
    let migrates = if call.contains("use_migrate=notuse_prisma_db_push") {
        !set("--use_prisma_db_push").ok_or(missing("--use_prisma_db_push"))?
    } else if call.contains("use_migrate=use_prisma_migrate") {
        set("--use_prisma_migrate").ok_or(missing("--use_prisma_migrate"))?
    } else {
        return Err(missing("use_migrate as it is known"));
    };
    let migrating = if call.contains("use_v2_resolver=use_v2_migration_resolver") {
        if set("--use_v2_migration_resolver").ok_or(missing("--use_v2_migration_resolver"))? {
            Asked::Newer
        } else {
            Asked::Older
        }
    } else if call.contains("use_v2_resolver=") {
        let resolve = block(functions, "def resolve_v2_migration_resolver(").map(squeezed);
        let resolve = resolve.ok_or(missing("resolve_v2_migration_resolver"))?;
        if resolve.contains("ifenv_valueisNone:returnTrue") { Asked::Newer } else { Asked::Older }
    } else {
        Asked::Older
    };
    let pods = if migrates { migrating } else { Asked::Push };
    Ok(Asks { pods, job: job(files.job, pods, migrating)? })
}

fn job(job: &str, pods: Asked, migrating: Asked) -> Result<Asked, Unread> {
    let missing = |mark| Unread { file: "litellm/proxy/prisma_migration.py", mark };
    let job = squeezed(&plain(job));
    if job.contains(r#"["prisma","db","push""#) {
        return Ok(Asked::Push);
    }
    let arguments = arguments(&job, "run_server").ok_or(missing("call of run_server"))?;
    if arguments.contains("--config") || arguments.contains("_resolver") {
        return Err(missing("call of run_server as it is known"));
    }
    Ok(if arguments.contains("--use_prisma_db_push") {
        Asked::Push
    } else if arguments.contains("--use_prisma_migrate") {
        migrating
    } else {
        pods
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A package's code in its plainest form: what follows a deployment, and the answer to P3005.
    fn package(function: &str, well: &str, refused: &str, more: &str) -> String {
        format!(
            "class Manager:\n    def _resolve_all_migrations(dir):\n        run([prisma(), \"db\", \"execute\"])\n\n    \
             def {function}(use_migrate):\n        if use_migrate:\n            try:\n                \
             out = run([prisma(), \"migrate\", \"deploy\"],)\n                {well}\n                return True\n            \
             except subprocess.CalledProcessError as e:\n                if \"P3005\" in e.stderr:\n                    \
             {refused}\n                    return True\n                Manager._resolve_all_migrations(dir)\n\n{more}"
        )
    }

    #[test]
    fn what_follows_a_deployment_is_read() {
        use Baseline::{IfEqual, Records, Syncs};
        use Startup::{Deploys, DeploysThenSyncs, DeploysThenSyncsIfPending};
        let sync = "Manager._resolve_all_migrations(dir, mark=False)";
        let unless = format!(
            "if \"No pending migrations to apply\" in out:\n                    return True\n                {sync}"
        );
        let newer = "    def _setup_database_v2(use_migrate):\n        \"\"\"Never calls _resolve_all_migrations(dir).\"\"\"\n        \
                     run([prisma(), \"migrate\", \"deploy\"])\n        baseline_current_schema(dir)\n";
        let rows = [
            (package("setup_database", "log()", "mark()", ""), Deploys, Records, None),
            (package("setup_database", "log()", sync, ""), Deploys, Syncs, None),
            (package("setup_database", sync, sync, ""), DeploysThenSyncs, Syncs, None),
            (package("setup_database", &unless, sync, ""), DeploysThenSyncsIfPending, Syncs, None),
            (package("_run_migrations", &unless, sync, newer), DeploysThenSyncsIfPending, Syncs, Some(IfEqual)),
        ];
        for (text, startup, baseline, newer) in rows {
            let newer = newer.map(|baseline| Migrating { startup: Deploys, baseline });
            assert_eq!(code(&text), Ok(Code { older: Migrating { startup, baseline }, newer }), "{text}");
        }
        // Where that function only records, a call of it changes nothing.
        let records = package("setup_database", sync, sync, "").replace("\"execute\"", "\"seed\"");
        let older = Migrating { startup: Deploys, baseline: Records };
        assert_eq!(code(&records), Ok(Code { older, newer: None }));
        for text in
            ["", &package("setup_database", "", "", "").replace("P3005", "P3006"), "def setup_database(a):\n    pass\n"]
        {
            assert!(code(text).is_err(), "{text}");
        }
    }

    fn console(options: &str, call: &str) -> String {
        format!(
            "{options}def run_server(a):\n    if should_update_prisma_schema(\n        \
             general_settings.get(\"disable_prisma_schema_update\")\n    ) is False:\n        check()\n    else:\n        \
             PrismaManager.setup_database({call})\n"
        )
    }

    const CLIENT: &str = "def should_update_prisma_schema(disable_updates=None):\n    if disable_updates is None:\n        \
                          disable_updates = os.getenv(\"DISABLE_SCHEMA_UPDATE\", \"false\")\n";

    #[test]
    fn what_is_asked_for_is_read() {
        use Asked::{Newer, Older, Push};
        let option = |name: &str, default: &str| {
            format!(
                "@click.option(\n    \"{name}\",\n    is_flag=True,\n    default={default},\n)\n@click.option(\n    \"--end\",\n    default=True,\n)\n"
            )
        };
        let resolve =
            "def resolve_v2_migration_resolver(flag, env_value):\n    if env_value is None:\n        return True\n\n";
        let push = option("--use_prisma_db_push", "False");
        let v2 = format!("{push}{}", option("--use_v2_migration_resolver", "False"));
        let by_flag = "use_migrate=not use_prisma_db_push, use_v2_resolver=use_v2_migration_resolver";
        let resolved = "use_migrate=not use_prisma_db_push,\n use_v2_resolver=use_v2_resolver,\n";
        let plain = "from cli import run_server\n\nrun_server([\"--skip_server_startup\"], standalone_mode=False)";
        let migrate = "run_server([\"--use_prisma_migrate\", \"--skip_server_startup\"])";
        let rows = [
            (console(&option("--use_prisma_migrate", "False"), "use_migrate=use_prisma_migrate"), migrate, Push, Older),
            (
                console(&option("--use_prisma_migrate", "False"), "use_migrate=use_prisma_migrate"),
                "run([\"prisma\", \"db\", \"push\"])",
                Push,
                Push,
            ),
            (console(&option("--use_prisma_migrate", "True"), "use_migrate=use_prisma_migrate"), migrate, Older, Older),
            (console(&push, "use_migrate=not use_prisma_db_push"), plain, Older, Older),
            (console(&v2, by_flag), plain, Older, Older),
            (format!("{resolve}{}", console(&v2, resolved)), plain, Newer, Newer),
        ];
        for (cli, job, pods, asked) in rows {
            assert_eq!(asks(Files { cli: &cli, job, client: CLIENT }), Ok(Asks { pods, job: asked }), "{cli}{job}");
        }
        let known = console(&push, "use_migrate=not use_prisma_db_push");
        for (cli, job, client) in [
            (known.as_str(), plain, ""),
            (known.as_str(), "run_server([\"--config\", path])", CLIENT),
            (known.as_str(), "", CLIENT),
            ("", plain, CLIENT),
            (&console("", "use_migrate=not use_prisma_db_push"), plain, CLIENT),
            (&console(&push, "use_migrate=migrates()"), plain, CLIENT),
            (&console(&push, resolved), plain, CLIENT),
        ] {
            assert!(asks(Files { cli, job, client }).is_err(), "{cli}{job}");
        }
    }

    #[test]
    fn the_way_that_is_meant_is_never_milder_than_what_was_concluded() {
        let of = |startup| Migrating { startup, baseline: Baseline::Syncs };
        let code = Code { older: of(Startup::DeploysThenSyncsIfPending), newer: Some(of(Startup::Deploys)) };
        assert_eq!(code.like(Startup::Deploys).startup, Startup::Deploys);
        assert_eq!(code.like(Startup::DeploysThenSyncsIfPending), code.older);
        assert_eq!(code.like(Startup::DeploysThenSyncs), code.older);
        assert_eq!(Code { newer: None, ..code }.like(Startup::Deploys), code.older);
    }
}
