//! What the catalog says of LiteLLM's own code, against freshly fetched packages.
//!
//! The packages are fetched with pip into `target/test-packages/`, once. A test that needs one
//! fails with a clear message where it cannot be fetched.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Read as _;
use std::path::Path;
use std::process::Command;

use lastgood::domain::catalog::startup::{self, Asked, Asks, Files};
use lastgood::domain::catalog::{Catalog, Known, Reading, Release, Startup};
use lastgood::domain::settings::{Knows, Section, Settings, vocabulary};

/// The files of a published version that are wanted, as text.
fn files(package: &str, version: &str, wanted: fn(&str) -> bool) -> Vec<(String, String)> {
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-packages");
    let folder = packages.join(format!("{package}-{version}-wheel"));
    if !folder.exists() {
        // Fetched under a name of this process's own and renamed when whole.
        let own = packages.join(format!("{package}-{version}.{}", std::process::id()));
        let pip = ["-m", "pip", "download", "--no-deps", "--ignore-requires-python", "--disable-pip-version-check"];
        let output = Command::new("python3")
            .args(pip)
            .args(["--quiet", "--no-cache-dir", "--dest"])
            .arg(&own)
            .arg(format!("{package}=={version}"))
            .output();
        let need = format!("this test needs {package} {version}: python3 with pip, and a package index");
        let output = output.unwrap_or_else(|why| panic!("{need}: {why}"));
        assert!(output.status.success(), "{need}: {}", String::from_utf8_lossy(&output.stderr));
        if std::fs::rename(&own, &folder).is_err() {
            assert!(folder.exists(), "{} cannot be created", folder.display());
        }
    }
    let wheel = std::fs::read_dir(&folder).unwrap().flatten().next().expect("pip brought no file").path();
    let mut archive = zip::ZipArchive::new(std::fs::File::open(wheel).unwrap()).unwrap();
    let mut found = Vec::new();
    for number in 0..archive.len() {
        let mut file = archive.by_index(number).unwrap();
        let name = file.name().unwrap().into_owned();
        if file.is_file() && wanted(&name) {
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            found.push((name, text));
        }
    }
    found
}

fn text<'a>(files: &'a [(String, String)], path: &str) -> &'a str {
    files.iter().find(|(name, _)| name == path).map(|(_, text)| text.as_str()).unwrap_or_default()
}

fn asks(version: &str) -> Asks {
    let wanted = |path: &str| path.starts_with("litellm/proxy/") && path.ends_with(".py");
    let files = files("litellm", version, wanted);
    let files = Files {
        cli: text(&files, "litellm/proxy/proxy_cli.py"),
        job: text(&files, "litellm/proxy/prisma_migration.py"),
        client: text(&files, "litellm/proxy/db/prisma_client.py"),
    };
    startup::asks(files).unwrap_or_else(|missing| panic!("{version}: {missing}"))
}

fn release(version: &str) -> &'static Release {
    match Catalog::embedded().release(&version.parse().unwrap()) {
        Known::Exactly(release) => release,
        other => panic!("{version}: {other:?}"),
    }
}

#[test]
fn what_the_packages_do_is_what_the_catalog_says() {
    use Startup::{Deploys, DeploysThenSyncs, DeploysThenSyncsIfPending};
    let rows = [
        ("0.1.21", Deploys),
        ("0.2.11", Deploys),
        ("0.2.18", Deploys),
        ("0.2.27", DeploysThenSyncs),
        ("0.4.55", Deploys),
        ("0.4.66", DeploysThenSyncs),
        ("0.4.67", DeploysThenSyncsIfPending),
        ("0.4.110", DeploysThenSyncsIfPending),
    ];
    for (version, expected) in rows {
        let files = files("litellm-proxy-extras", version, |path| path.ends_with("/utils.py"));
        let code = startup::code(text(&files, "litellm_proxy_extras/utils.py")).unwrap();
        assert_eq!(code.older.startup, expected, "{version}");
        assert_eq!(Catalog::embedded().code(version.parse().unwrap()), Some(code), "{version}");
    }
    let newest = Catalog::embedded().code("0.4.110".parse().unwrap()).unwrap();
    assert_eq!(newest.newer.map(|newer| newer.startup), Some(Deploys));
}

#[test]
fn what_versions_of_litellm_ask_for_is_what_the_catalog_says() {
    use Asked::{Newer, Older, Push};
    let rows = [
        ("1.74.3", Push, Push),
        ("1.74.4", Push, Older),
        ("1.74.9", Push, Older),
        ("1.75.0", Older, Older),
        ("1.83.10", Older, Older),
        ("1.106.2", Newer, Newer),
    ];
    for (version, pods, job) in rows {
        let asks = asks(version);
        assert_eq!((asks.pods, asks.job), (pods, job), "{version}");
        let release = release(version);
        // Each of these pins one package.
        let package = Catalog::embedded().packages_of(release.pin).next().expect("a package").version;
        let code = Catalog::embedded().code(package).unwrap();
        assert_eq!((release.pods, release.job), (code.startup(pods), code.startup(job)), "{version}");
    }
}

#[test]
fn the_settings_of_a_version_are_what_the_catalog_says() {
    let settings = Settings::embedded();
    for raw in ["1.75.0", "1.106.0"] {
        let version = raw.parse().unwrap();
        assert!(settings.read().contains(&version), "{raw} was read");
        let files = files("litellm", raw, vocabulary::wanted);
        let texts: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let known = vocabulary::vocabulary(&texts);
        for (section, names) in &known {
            assert!(names.len() > 40, "{raw} {section}: {names:?}");
            for name in names {
                assert_eq!(settings.knows(*section, name, &version), Knows::Yes, "{raw} {section}.{name}");
            }
        }
        let all = Section::ALL.map(|section| (section, settings.names(section).collect::<Vec<_>>()));
        for (section, names) in all {
            for name in names {
                let knows = settings.knows(section, name, &version) == Knows::Yes;
                assert_eq!(knows, known[&section].contains(name), "{raw} {section}.{name}");
            }
        }
    }
    let knows = |name: &str, version: &str| {
        settings.knows(Section::GeneralSettings, name, &version.parse().unwrap()) == Knows::Yes
    };
    assert!(knows("master_key", "1.70.0") && knows("disable_prisma_schema_update", "1.70.0"));
    assert!(!knows("password_policy_min_length", "1.83.10") && knows("password_policy_min_length", "1.106.2"));
}

#[test]
fn the_ranges_are_told_by_versions_that_were_read() {
    use Startup::{Deploys, DeploysThenSyncs, DeploysThenSyncsIfPending, Pushes};
    let rows = [
        ("1.74.9", Pushes, Deploys),
        ("1.75.0", Deploys, Deploys),
        ("1.78.0", Deploys, Deploys),
        ("1.78.2", DeploysThenSyncs, DeploysThenSyncs),
        ("1.83.9", DeploysThenSyncs, DeploysThenSyncs),
        ("1.83.10", DeploysThenSyncsIfPending, DeploysThenSyncsIfPending),
        ("1.103.11", DeploysThenSyncsIfPending, DeploysThenSyncsIfPending),
        ("1.104.0", Deploys, Deploys),
        ("1.109.1", Deploys, Deploys),
    ];
    for (version, pods, job) in rows {
        let release = release(version);
        assert_eq!((release.pods, release.job), (pods, job), "{version}");
        assert!(matches!(release.reading, Reading::Read | Reading::Between(..)), "{version}: {:?}", release.reading);
    }
}
