//! What one frame needs more than once: the state, the theme, and what is dear to work out.

use std::cell::OnceCell;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use ratatui::style::Style;
use ratatui::text::Span;

use crate::app::action::{Action, Pane};
use crate::app::preflight::{self, Finding};
use crate::app::state::State;
use crate::domain::cluster::Pod;
use crate::domain::span;
use crate::text::Clean;
use crate::ui::theme::{Role, Sign, Theme};

/// One frame in the making.
pub struct Scene<'a> {
    /// What is shown.
    pub state: &'a State,
    /// How it looks.
    pub theme: &'a Theme,
    /// Everything is on the screen at once.
    pub overview: bool,
    findings: OnceCell<Vec<Finding>>,
    pods: OnceCell<Vec<&'a Arc<Pod>>>,
}

impl<'a> Scene<'a> {
    /// A frame of this state.
    pub fn new(state: &'a State, theme: &'a Theme, overview: bool) -> Self {
        Self { state, theme, overview, findings: OnceCell::new(), pods: OnceCell::new() }
    }

    /// How a role looks.
    pub fn style(&self, role: Role) -> Style {
        self.theme.style(role)
    }

    /// How a sign is drawn.
    pub fn sign(&self, sign: Sign) -> &'a str {
        self.theme.sign(sign)
    }

    /// The findings of the preflight, worked out at most once a frame.
    pub fn findings(&self) -> &[Finding] {
        self.findings.get_or_init(|| preflight::findings(self.state))
    }

    /// Every pod in the order of the pane, sorted at most once a frame.
    pub fn pods(&self) -> &[&'a Arc<Pod>] {
        self.pods.get_or_init(|| self.state.pods())
    }

    /// The time since then, in steps that leave an idle screen alone: tens of seconds up to a
    /// minute, minutes up to an hour.
    pub fn span(&self, since: Timestamp) -> Clean {
        let seconds = self.state.now.duration_since(since).as_secs().max(0);
        match seconds {
            0..10 => say!("{}s", seconds),
            10..60 => say!("{}s", seconds / 10 * 10),
            60..3600 => say!("{}m", seconds / 60),
            _ => span::short(SignedDuration::from_secs(seconds)),
        }
    }

    /// The age of something, for a cell.
    pub fn age(&self, since: Timestamp) -> Clean {
        let seconds = self.state.now.duration_since(since).as_secs().max(0);
        if seconds < 10 { Clean::ours("now") } else { self.span(since) }
    }

    /// The note of a value that was true some time ago; nothing while it is young.
    pub fn old(&self, at: Timestamp) -> Option<Span<'static>> {
        let old = self.state.now.duration_since(at) >= SignedDuration::from_secs(10);
        old.then(|| Span::styled(format!("{} ago", self.span(at)), self.style(Role::Muted)))
    }

    /// The note of a watched value: a watch that is open tells every change, so what has not
    /// changed is as true as it was; a watch that is not open is lost, and says so.
    pub fn changed(&self, at: Timestamp) -> Option<Span<'static>> {
        let old = self.state.now.duration_since(at) >= SignedDuration::from_secs(10);
        old.then(|| Span::styled(format!("watched, changed {} ago", self.span(at)), self.style(Role::Muted)))
    }

    /// The key of an action in a pane, as it is written.
    pub fn key(&self, pane: Pane, action: Action) -> Option<String> {
        self.state.keymap.key(Some(pane), action).map(|key| key.to_string())
    }
}
