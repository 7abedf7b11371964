//! The operator's own keys and colours: files beside the configuration, proved like the bundled ones.

use std::io;
use std::path::Path;

use crate::app::keymap::Keymap;
use crate::cli::command::Look;
use crate::cli::config_file::xdg_folder;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::{Clean, Gate};
use crate::ui::theme::{Charset, Palette, Theme};

/// Reads `keys.toml` and `theme.toml` of the XDG configuration folder; what is not there is bundled.
///
/// # Errors
/// [`TroubleKind::Invalid`] with the file and what is wrong with it, [`TroubleKind::Disk`].
pub fn load(look: Look, gate: &Gate) -> Result<(Keymap, Theme), Trouble> {
    let folder = xdg_folder().map(|folder| folder.join("lastgood"));
    let palette = if look.color { Palette::Dark } else { Palette::Mono };
    let charset = if look.ascii { Charset::Ascii } else { Charset::Unicode };
    let own = |file: &str| folder.as_deref().map(|folder| folder.join(file));
    let keys = match own("keys.toml") {
        Some(path) => read(&path, gate, Keymap::parse)?,
        None => None,
    };
    let theme = match own("theme.toml") {
        Some(path) => read(&path, gate, |text| Theme::parse(text, palette, charset))?,
        None => None,
    };
    Ok((keys.unwrap_or_else(Keymap::bundled), theme.unwrap_or_else(|| Theme::bundled(palette, charset))))
}

fn read<T>(path: &Path, gate: &Gate, parse: impl FnOnce(&str) -> Result<T, String>) -> Result<Option<T>, Trouble> {
    let shown = gate.clean(&path.display().to_string());
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(why) => {
            let why = gate.clean(&why.to_string());
            return Err(Trouble::new(TroubleKind::Disk, say!("{} cannot be read: {}", shown, why)));
        }
    };
    parse(&text).map(Some).map_err(|why| {
        Trouble::new(TroubleKind::Invalid, say!("{}: {}", shown, gate.clean(why.trim())))
            .remedy(Clean::ours("mend the file, or move it away: the bundled one serves then"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::keymap;

    #[test]
    fn an_own_file_is_taken_a_faulty_one_is_refused_and_none_is_needed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        let gate = Gate::default();
        assert_eq!(read(&path, &gate, Keymap::parse).unwrap(), None);
        std::fs::write(&path, keymap::DEFAULT.replace("\"?\" = \"help\"", "h = \"help\"")).unwrap();
        assert!(read(&path, &gate, Keymap::parse).unwrap().is_some());
        std::fs::write(&path, "[all]\nx = \"fly\"").unwrap();
        let refused = read(&path, &gate, Keymap::parse).unwrap_err();
        assert_eq!(refused.kind, TroubleKind::Invalid);
        assert!(
            refused.what.as_str().contains("keys.toml") && refused.what.as_str().contains("fly"),
            "{}",
            refused.what
        );
    }
}
