//! The refreshed catalog's file, and which catalog is used.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use etcetera::BaseStrategy as _;

use crate::domain::catalog::{Catalog, Consulted, Origin};
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::{Clean, Gate};

/// More than this is no catalog of ours, in bytes, packed.
const LARGEST: u64 = 16 << 20;

/// A catalog and where it comes from.
#[derive(Clone, Debug)]
pub struct Current {
    /// What is known.
    pub catalog: Consulted,
    /// Where from.
    pub origin: Origin,
}

/// Where `catalog refresh` keeps what it learnt: `$XDG_DATA_HOME/lastgood/catalog.json.gz`.
///
/// # Errors
/// [`TroubleKind::Disk`] when this user has no home folder.
pub fn refreshed() -> Result<PathBuf, Trouble> {
    Ok(folders()?.data_dir().join("lastgood/catalog.json.gz"))
}

/// Where the packages are kept that were brought.
///
/// # Errors
/// [`TroubleKind::Disk`] when this user has no home folder.
pub fn cache() -> Result<PathBuf, Trouble> {
    Ok(folders()?.cache_dir().join("lastgood/catalog"))
}

fn folders() -> Result<impl etcetera::BaseStrategy, Trouble> {
    etcetera::choose_base_strategy().map_err(|_| {
        Trouble::new(TroubleKind::Disk, Clean::ours("this user has no home folder to keep the catalog in"))
            .remedy(Clean::ours("set HOME, or XDG_CACHE_HOME and XDG_DATA_HOME"))
    })
}

/// The catalog to use: the refreshed one, where it can be read and is not older than the one that
/// comes with the program. It is chosen once for each process.
pub fn current(gate: &Gate) -> Current {
    static CURRENT: OnceLock<Current> = OnceLock::new();
    // Without a home folder nothing was ever refreshed.
    let choose = || refreshed().map_or_else(|_| embedded(Origin::Embedded), |file| chosen(&file, gate));
    CURRENT.get_or_init(choose).clone()
}

fn embedded(origin: Origin) -> Current {
    Current { catalog: Consulted::Embedded, origin }
}

fn chosen(path: &Path, gate: &Gate) -> Current {
    let file = gate.clean(&path.display().to_string());
    let instead = |why: Clean| embedded(Origin::InPlaceOf { file: file.clone(), why });
    let bytes = match read(path) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return embedded(Origin::Embedded),
        Err(why) => return instead(gate.clean(&why.to_string())),
    };
    match Catalog::from_bytes(&bytes) {
        Err(why) => instead(say!("it is {}", why)),
        Ok(catalog) if catalog.made() < Consulted::Embedded.made() => {
            embedded(Origin::NewerThanRefreshed { refreshed: catalog.made(), file })
        }
        Ok(catalog) => Current { catalog: catalog.into(), origin: Origin::Refreshed { file } },
    }
}

/// The bytes of a file; `None` when there is none.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match std::fs::metadata(path) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
        // Opening a pipe would wait for its other end.
        Ok(about) if !about.is_file() => return Err(io::Error::other("it is no file")),
        about => about?,
    };
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::other(format!("it is larger than {} MiB", LARGEST >> 20)));
    }
    Ok(Some(bytes))
}

/// Writes a catalog's file, whole or not at all.
///
/// # Errors
/// [`TroubleKind::Disk`].
pub fn write(file: &Path, catalog: &Catalog, gate: &Gate) -> Result<(), Trouble> {
    written(file, catalog.to_bytes(), gate)
}

/// Writes a file whole or not at all.
///
/// # Errors
/// [`TroubleKind::Disk`].
pub fn written(file: &Path, bytes: std::io::Result<Vec<u8>>, gate: &Gate) -> Result<(), Trouble> {
    let part = file.with_extension("part");
    let written = bytes.and_then(|bytes| {
        file.parent().filter(|folder| !folder.as_os_str().is_empty()).map_or(Ok(()), std::fs::create_dir_all)?;
        std::fs::write(&part, bytes)?;
        std::fs::rename(&part, file)
    });
    written.map_err(|why| {
        let (file, why) = (gate.clean(&file.display().to_string()), gate.clean(&why.to_string()));
        Trouble::new(TroubleKind::Disk, say!("{} cannot be written: {}", file, why))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog(made: &str) -> Catalog {
        Catalog::embedded().as_ref().clone().on(made.parse().unwrap(), Vec::new())
    }

    #[test]
    fn the_refreshed_catalog_is_used_unless_it_is_older_or_cannot_be_read() {
        let (folder, gate) = (tempfile::tempdir().unwrap(), Gate::default());
        let file = folder.path().join("lastgood/catalog.json.gz");
        assert_eq!(chosen(&file, &gate).origin, Origin::Embedded);

        write(&file, &catalog("2999-01-01"), &gate).unwrap();
        let current = chosen(&file, &gate);
        assert!(matches!(current.origin, Origin::Refreshed { .. }) && current.catalog.made().year() == 2999);

        write(&file, &catalog("2020-01-01"), &gate).unwrap();
        let current = chosen(&file, &gate);
        assert!(matches!(current.origin, Origin::NewerThanRefreshed { .. }), "{:?}", current.origin);
        assert_eq!(current.catalog.made(), Catalog::embedded().made());

        let whole = catalog("2999-01-01").to_bytes().unwrap();
        for broken in [&b""[..], b"no catalog", &whole[..whole.len() / 2]] {
            std::fs::write(&file, broken).unwrap();
            let current = chosen(&file, &gate);
            let Origin::InPlaceOf { why, .. } = &current.origin else { panic!("{:?}", current.origin) };
            assert_eq!(why.as_str(), "it is not packed with gzip, cut off, or changed");
            assert!(matches!(current.catalog, Consulted::Embedded));
        }
        std::fs::remove_file(&file).unwrap();
        std::fs::create_dir(&file).unwrap();
        assert!(matches!(chosen(&file, &gate).origin, Origin::InPlaceOf { .. }));
    }
}
