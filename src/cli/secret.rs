//! Fetches the secrets that an environment names, and teaches them to the gate at once.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::domain::environment::SecretSource;
use crate::domain::name::{DataKey, Name};
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::{Clean, Gate, Secret};
use crate::world::Reply;

/// Larger than any key or URL.
const LARGEST: u64 = 64 * 1024;

/// A secret in hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The secret.
    pub secret: Secret,
    /// What the operator should know about its keeping.
    pub warning: Option<Clean>,
}

/// A path of the configuration: below the home folder after `~/`, else from `folder` on.
pub fn resolve_path(folder: &Path, path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), etcetera::home_dir()) {
        (Ok(rest), Ok(home)) => home.join(rest),
        _ => folder.join(path),
    }
}

/// Fetches one secret. `what` is the key of the configuration that names it; `folder` is where
/// relative paths start; `variable` reads this process's environment; `kubernetes` reads a key of
/// a Secret. The gate knows the secret, and the password in it where it is a URL, before this
/// returns.
///
/// # Errors
/// [`TroubleKind::Missing`] when the variable or the file is not there or empty,
/// [`TroubleKind::Disk`] when the file cannot be read, and whatever `kubernetes` answers.
pub async fn fetch(
    what: &'static str,
    source: &SecretSource,
    folder: &Path,
    gate: &Gate,
    variable: impl Fn(&str) -> Option<OsString>,
    kubernetes: impl FnOnce(Name, DataKey) -> Reply<Secret>,
) -> Result<Fetched, Trouble> {
    let (raw, warning) = match source {
        SecretSource::Env(name) => {
            (variable(name.as_str()).map_or(Ok(String::new()), OsString::into_string).ok(), None)
        }
        SecretSource::File(path) => {
            let path = resolve_path(folder, path);
            let (text, warning) = read(&path, gate).map_err(|why| unreadable(what, &path, &why, gate))?;
            (String::from_utf8(text).ok(), warning)
        }
        SecretSource::Secret { name, key } => {
            (Some(kubernetes(name.clone(), key.clone()).await?.expose().to_owned()), None)
        }
    };
    let place = source.words(gate);
    let Some(raw) = raw else {
        return Err(Trouble::new(TroubleKind::Invalid, say!("{}: {} is not UTF-8 text", what, place))
            .remedy(Clean::ours("write it as plain text")));
    };
    // Editors and `echo` end a file with a line feed, which is never a part of a key or a URL.
    let value = raw.trim_end_matches(['\r', '\n']);
    if value.trim().is_empty() {
        let remedy = match source {
            SecretSource::Env(name) => say!("export {} before starting the console", name),
            _ => Clean::ours("write the value there, or name another source in the configuration"),
        };
        return Err(Trouble::new(TroubleKind::Missing, say!("{}: {} is not set or empty", what, place)).remedy(remedy));
    }
    let secret = Secret::new(value);
    learn(gate, &secret);
    Ok(Fetched { secret, warning })
}

/// The whole value, and the password in it, as written and as meant: either may come back alone.
fn learn(gate: &Gate, secret: &Secret) {
    gate.learn(secret);
    let Ok(url) = url::Url::parse(secret.expose()) else { return };
    let Some(password) = url.password() else { return };
    gate.learn(&Secret::new(password));
    if let Ok(decoded) = percent_encoding::percent_decode_str(password).decode_utf8() {
        gate.learn(&Secret::new(decoded.as_ref()));
    }
}

fn read(path: &Path, gate: &Gate) -> io::Result<(Vec<u8>, Option<Clean>)> {
    let file = File::open(path)?;
    let mode = file.metadata()?.permissions().mode();
    let mut text = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let shown = gate.clean(&path.to_string_lossy());
    let warning =
        (mode & 0o004 != 0).then(|| say!("everybody on this machine can read {}; run `chmod 600` on it", shown));
    Ok((text, warning))
}

fn unreadable(what: &'static str, path: &Path, why: &io::Error, gate: &Gate) -> Trouble {
    let shown = gate.clean(&path.to_string_lossy());
    let kind = if why.kind() == io::ErrorKind::NotFound { TroubleKind::Missing } else { TroubleKind::Disk };
    Trouble::new(kind, say!("{}: file {} cannot be read: {}", what, shown, gate.clean(&why.to_string())))
        .remedy(Clean::ours("correct the path in the configuration, or the file's permissions"))
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn fetch_now(source: &SecretSource, folder: &Path, gate: &Gate) -> Result<Fetched, Trouble> {
        let variable = |name: &str| (name == "URL").then(|| OsString::from("postgres://u:p%40ssword@h/d"));
        let kubernetes = |name: Name, key: DataKey| -> Reply<Secret> {
            async move {
                if key.as_str() == "there" {
                    return Ok(Secret::new(format!("of-{name}\n")));
                }
                Err(Trouble::new(TroubleKind::NotFound, say!("secret {} has no key {}", name, key)))
            }
            .boxed()
        };
        fetch("database", source, folder, gate, variable, kubernetes).now_or_never().unwrap()
    }

    fn refusal(source: &SecretSource, folder: &Path) -> (TroubleKind, String) {
        let trouble = fetch_now(source, folder, &Gate::default()).unwrap_err();
        (trouble.kind, trouble.sentence().to_string())
    }

    #[test]
    fn a_variable_is_read_and_its_password_is_masked_in_both_spellings() {
        let gate = Gate::default();
        let source = SecretSource::Env("URL".parse().unwrap());
        let fetched = fetch_now(&source, Path::new(""), &gate).unwrap();
        assert_eq!(fetched.secret.expose(), "postgres://u:p%40ssword@h/d");
        assert_eq!(gate.scrub("with p%40ssword or p@ssword"), "with [masked] or [masked]");
        let (kind, words) = refusal(&SecretSource::Env("GONE".parse().unwrap()), Path::new(""));
        assert_eq!(kind, TroubleKind::Missing);
        assert_eq!(
            words,
            "database: environment variable GONE is not set or empty; export GONE before starting the console"
        );
    }

    #[test]
    fn a_file_loses_its_last_line_feed_and_open_permissions_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "a-master-key\r\n").unwrap();
        let source = SecretSource::File("key".into());
        let gate = Gate::default();
        for (mode, warns) in [(0o600, false), (0o640, false), (0o644, true)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let fetched = fetch_now(&source, folder.path(), &gate).unwrap();
            assert_eq!(fetched.secret.expose(), "a-master-key");
            assert_eq!(fetched.warning.is_some(), warns, "{mode:o}");
        }
        assert_eq!(gate.scrub("it is a-master-key"), "it is [masked]");
    }

    #[test]
    fn files_that_hold_nothing_usable_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in [("empty", &b"\n"[..]), ("binary", &[0xff, 0xfe]), ("large", &[b'x'; 65537])] {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        let kind = |name: &str| refusal(&SecretSource::File(name.into()), folder.path()).0;
        assert_eq!(kind("gone"), TroubleKind::Missing);
        assert_eq!(kind("empty"), TroubleKind::Missing);
        assert_eq!(kind("binary"), TroubleKind::Invalid);
        assert_eq!(kind("large"), TroubleKind::Disk);
    }

    #[test]
    fn a_kubernetes_secret_comes_from_the_callback() {
        let secret =
            |key: &str| SecretSource::Secret { name: "litellm-db".parse().unwrap(), key: key.parse().unwrap() };
        let fetched = fetch_now(&secret("there"), Path::new(""), &Gate::default()).unwrap();
        assert_eq!(fetched.secret.expose(), "of-litellm-db");
        assert_eq!(refusal(&secret("gone"), Path::new("")).1, "secret litellm-db has no key gone");
    }

    #[test]
    fn paths_start_at_the_configuration_or_at_home() {
        assert_eq!(resolve_path(Path::new("/etc/lg"), Path::new("a/b")), Path::new("/etc/lg/a/b"));
        assert_eq!(resolve_path(Path::new("/etc/lg"), Path::new("/a/b")), Path::new("/a/b"));
        assert_eq!(resolve_path(Path::new("/etc/lg"), Path::new("~/b")), etcetera::home_dir().unwrap().join("b"));
        assert_eq!(resolve_path(Path::new("/etc/lg"), Path::new("~b")), Path::new("/etc/lg/~b"));
    }
}
