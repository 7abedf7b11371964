//! Roles instead of colours: what a piece of the screen means, and how that looks.
//!
//! Panes name a [`Role`] or a [`Sign`]; the theme file says how it looks. The mono palette has no
//! colour at all, which is what `NO_COLOR` asks for (no-color.org), and the ASCII signs serve
//! terminals and recordings without box drawing.

use std::collections::BTreeMap;

use ratatui::style::{Color, Modifier, Style};
use serde::Deserialize;

/// The theme file that is built in: documentation and default at once.
pub const DEFAULT: &str = include_str!("../../assets/theme.toml");

macro_rules! roles {
    ($($name:ident $slug:literal $doc:literal;)*) => {
        /// What a piece of the screen means.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Role {
            $(#[doc = $doc] $name,)*
        }

        impl Role {
            /// All of them, in the order of the theme file.
            pub const ALL: &'static [Role] = &[$(Role::$name,)*];

            /// The word in the theme file.
            pub fn slug(self) -> &'static str {
                match self { $(Role::$name => $slug,)* }
            }
        }
    };
}

roles! {
    Text "text" "Ordinary words.";
    Muted "muted" "Words that matter less.";
    Title "title" "A heading.";
    Rule "rule" "A line between panes.";
    Focus "focus" "The heading of the pane that gets the keys.";
    Selected "selected" "The selected line.";
    Key "key" "A key to press.";
    Good "good" "As it should be.";
    Warn "warn" "Worth knowing before going on.";
    Danger "danger" "Broken, failed, refused.";
    Unknown "unknown" "Nobody can tell.";
    Stale "stale" "Seen before the connection was lost.";
    Suggested "suggested" "What the evidence suggests.";
    Command "command" "A command line.";
    Search "search" "What was searched for.";
    Added "added" "A line that comes.";
    Removed "removed" "A line that goes.";
    Production "production" "The banner of an environment that people depend on.";
    Staging "staging" "The banner of an environment that nobody outside depends on.";
    Drill "drill" "The banner of a drill.";
    Armed "armed" "Changes are allowed.";
    ReadOnly "read-only" "Changes are not allowed.";
}

/// One of the looks in a theme file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Palette {
    /// Light letters on a dark ground.
    #[default]
    Dark,
    /// Dark letters on a light ground.
    Light,
    /// Weight, underline and reverse only: for `NO_COLOR`.
    Mono,
}

/// Which characters signs and lines are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Charset {
    /// Box drawing and signs of one cell.
    #[default]
    Unicode,
    /// ASCII only.
    Ascii,
}

macro_rules! signs {
    ($($name:ident $unicode:literal $ascii:literal $doc:literal;)*) => {
        /// A sign of one cell. Signs of different meaning differ in shape.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Sign {
            $(#[doc = $doc] $name,)*
        }

        impl Sign {
            #[cfg(test)]
            pub(super) const ALL: &'static [Sign] = &[$(Sign::$name,)*];

            fn drawn(self, charset: Charset) -> &'static str {
                match (charset, self) {
                    $((Charset::Unicode, Sign::$name) => $unicode, (Charset::Ascii, Sign::$name) => $ascii,)*
                }
            }
        }
    };
}

signs! {
    Yes "✓" "+" "True, ticked, done.";
    No "✗" "x" "False, failed.";
    Unknown "?" "?" "Nobody can tell.";
    Waiting "·" "." "Not looked at yet.";
    Money "$" "$" "It would cost money.";
    Absent "–" "-" "There is no such part here.";
    Warn "!" "!" "Worth knowing.";
    Expected "~" "~" "Looks alarming and is normal.";
    Cursor "›" ">" "The selected line.";
    Suggested "►" "=" "What the evidence suggests.";
    Star "★" "*" "The best candidate.";
    Target "◎" "@" "The chosen target.";
    Arrow "→" ">" "Leads to.";
    Cut "…" "~" "Something was cut off here.";
    Feed "⏎" "|" "A line feed.";
    Full "█" "#" "The part of a bar that is done.";
    Empty "░" "." "The part of a bar that is not.";
    Hatch "╱" "/" "The ground of a drill's banner.";
    Across "─" "-" "A line between panes.";
    Thick "━" "=" "The line of the pane that gets the keys.";
    Down "│" "|" "A line between columns.";
    TopLeft "┌" "+" "A corner.";
    TopRight "┐" "+" "A corner.";
    BottomLeft "└" "+" "A corner.";
    BottomRight "┘" "+" "A corner.";
    Dot "·" "-" "Between two facts on one line.";
}

/// How everything looks. A value that is passed to [`crate::ui::draw`], never a global.
#[derive(Clone, Debug, PartialEq)]
pub struct Theme {
    styles: Vec<Style>,
    charset: Charset,
    palette: Palette,
}

impl Default for Theme {
    fn default() -> Self {
        Self::bundled(Palette::default(), Charset::default())
    }
}

impl Theme {
    /// The theme that the program brings along.
    pub fn bundled(palette: Palette, charset: Charset) -> Self {
        Self::parse(DEFAULT, palette, charset)
            .unwrap_or_else(|why| unreachable!("the bundled theme is proved by a test: {why}"))
    }

    /// Reads one palette of a theme file.
    ///
    /// # Errors
    /// In words: unknown palettes and roles, roles without a style, styles with unknown words,
    /// and colours in the mono palette. A palette that the file does not have is the bundled one.
    pub fn parse(text: &str, palette: Palette, charset: Charset) -> Result<Self, String> {
        let mut file: BTreeMap<Palette, BTreeMap<String, String>> =
            toml::from_str(text).map_err(|why| why.to_string())?;
        for (palette, roles) in &file {
            prove(*palette, roles)?;
        }
        let Some(roles) = file.remove(&palette) else { return Ok(Self::bundled(palette, charset)) };
        let styles = Role::ALL.iter().map(|role| style(&roles[role.slug()])).collect::<Result<_, _>>()?;
        Ok(Self { styles, charset, palette })
    }

    /// How a role looks.
    pub fn style(&self, role: Role) -> Style {
        self.styles[role as usize]
    }

    /// How a sign is drawn.
    pub fn sign(&self, sign: Sign) -> &'static str {
        sign.drawn(self.charset)
    }

    /// Bars of one cell, lowest first, for charts.
    pub fn bars(&self) -> [&'static str; 8] {
        match self.charset {
            Charset::Unicode => ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"],
            Charset::Ascii => [":", "-", "=", "+", "*", "%", "@", "#"],
        }
    }

    /// Which palette it is, for pictures.
    pub fn palette(&self) -> Palette {
        self.palette
    }
}

fn prove(palette: Palette, roles: &BTreeMap<String, String>) -> Result<(), String> {
    let place = format!("[{}]", format!("{palette:?}").to_lowercase());
    if let Some(unknown) = roles.keys().find(|slug| !Role::ALL.iter().any(|role| role.slug() == *slug)) {
        return Err(format!("{place} {unknown}: there is no such role"));
    }
    for role in Role::ALL {
        let words = roles.get(role.slug()).ok_or_else(|| format!("{place}: no style for {:?}", role.slug()))?;
        let style = style(words).map_err(|why| format!("{place} {}: {why}", role.slug()))?;
        if palette == Palette::Mono && (style.fg.is_some() || style.bg.is_some()) {
            return Err(format!("{place} {}: mono has no colours", role.slug()));
        }
    }
    Ok(())
}

const COLOURS: [(&str, Color); 16] = [
    ("black", Color::Black),
    ("red", Color::Red),
    ("green", Color::Green),
    ("yellow", Color::Yellow),
    ("blue", Color::Blue),
    ("magenta", Color::Magenta),
    ("cyan", Color::Cyan),
    ("gray", Color::Gray),
    ("dark-gray", Color::DarkGray),
    ("light-red", Color::LightRed),
    ("light-green", Color::LightGreen),
    ("light-yellow", Color::LightYellow),
    ("light-blue", Color::LightBlue),
    ("light-magenta", Color::LightMagenta),
    ("light-cyan", Color::LightCyan),
    ("white", Color::White),
];

fn style(words: &str) -> Result<Style, String> {
    let mut style = Style::new();
    let mut ground = false;
    for word in words.split_whitespace() {
        let modifier = match word {
            "default" => continue,
            "on" => {
                ground = true;
                continue;
            }
            "bold" => Modifier::BOLD,
            "dim" => Modifier::DIM,
            "italic" => Modifier::ITALIC,
            "underline" => Modifier::UNDERLINED,
            "reverse" => Modifier::REVERSED,
            colour => {
                let (_, colour) = COLOURS
                    .iter()
                    .find(|(name, _)| *name == colour)
                    .ok_or_else(|| format!("{colour:?} is no colour and no weight"))?;
                style = if std::mem::take(&mut ground) { style.bg(*colour) } else { style.fg(*colour) };
                continue;
            }
        };
        style = style.add_modifier(modifier);
    }
    if ground { Err("nothing follows `on`".to_owned()) } else { Ok(style) }
}

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr as _;

    use super::*;

    #[test]
    fn the_built_in_theme_is_sound() {
        for palette in [Palette::Dark, Palette::Light, Palette::Mono] {
            assert!(Theme::parse(DEFAULT, palette, Charset::Unicode).is_ok(), "{palette:?}");
        }
    }

    #[test]
    fn unknown_words_are_refused() {
        let refused = |text: &str, part: &str| {
            let why = Theme::parse(text, Palette::Dark, Charset::Unicode).unwrap_err();
            assert!(why.contains(part), "{why}");
        };
        refused(&DEFAULT.replacen("muted =", "mutted =", 1), "mutted");
        refused(&DEFAULT.replacen("muted = \"dark-gray\"\n", "", 1), "no style for \"muted\"");
        refused(&DEFAULT.replacen("dark-gray", "beige", 1), "beige");
        refused(&DEFAULT.replacen("white on red bold", "white on", 1), "follows");
        refused(&DEFAULT.replacen("[light]", "[sepia]", 1), "sepia");
        refused(&DEFAULT.replacen("muted = \"dim\"", "muted = \"red\"", 1), "no colours");
    }

    #[test]
    fn signs_take_one_cell_and_ascii_is_ascii() {
        let (unicode, ascii) = (Theme::default(), Theme::bundled(Palette::Mono, Charset::Ascii));
        for sign in Sign::ALL {
            assert_eq!(unicode.sign(*sign).width(), 1, "{sign:?}");
            assert!(ascii.sign(*sign).is_ascii() && ascii.sign(*sign).len() == 1, "{sign:?}");
        }
        assert!(unicode.bars().iter().all(|bar| bar.width() == 1));
        assert!(ascii.bars().iter().all(|bar| bar.is_ascii() && bar.len() == 1));
    }

    #[test]
    fn verdicts_differ_by_shape() {
        for charset in [Charset::Unicode, Charset::Ascii] {
            let theme = Theme::bundled(Palette::Mono, charset);
            let marks = [Sign::Yes, Sign::No, Sign::Unknown, Sign::Waiting, Sign::Money, Sign::Absent];
            let drawn: std::collections::BTreeSet<_> = marks.iter().map(|sign| theme.sign(*sign)).collect();
            assert_eq!(drawn.len(), marks.len());
        }
    }
}
