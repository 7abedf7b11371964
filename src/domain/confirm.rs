//! Proof that a person typed the name of what will be destroyed.

use crate::text::Clean;

/// Something that must not be done by accident.
pub trait Subject {
    /// What must be typed, in order: one phrase for most things, two where the first one alone
    /// would be too easy. Never empty.
    fn phrases(&self) -> Vec<Clean>;
}

/// A question in progress: what will be destroyed, and how many phrases were typed so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Confirm<T> {
    subject: T,
    given: usize,
}

/// What one typed phrase led to.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer<T> {
    /// Every phrase was typed.
    Yes(Confirmed<T>),
    /// That one was right; another one is asked for.
    More(Confirm<T>),
    /// It does not match. Nothing happens.
    No(Confirm<T>),
}

/// The only key to a destroying port method. Its field is private, so nothing but
/// [`Confirm::answer`] can make one.
///
/// ```
/// # use lastgood::domain::confirm::{Confirm, Confirmed, Subject};
/// # use lastgood::text::Clean;
/// # struct Row;
/// # impl Subject for Row { fn phrases(&self) -> Vec<Clean> { vec![Clean::ours("name")] } }
/// let typed: Result<Confirmed<Row>, Clean> = Confirm::new(Row).answer_all(["name"]);
/// assert!(typed.is_ok());
/// ```
/// ```compile_fail,E0423
/// # use lastgood::domain::confirm::Confirmed;
/// # struct Row;
/// let forged: Confirmed<Row> = Confirmed(Row);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Confirmed<T>(T);

impl<T: Subject> Confirm<T> {
    /// Starts the question.
    pub fn new(subject: T) -> Self {
        Self { subject, given: 0 }
    }

    /// What it is about.
    pub fn subject(&self) -> &T {
        &self.subject
    }

    /// How many phrases were typed so far.
    pub fn given(&self) -> usize {
        self.given
    }

    /// The phrase that must be typed next.
    pub fn wanted(&self) -> Clean {
        self.subject.phrases().into_iter().nth(self.given).unwrap_or_default()
    }

    /// Compares one typed phrase, letter by letter.
    pub fn answer(self, typed: &str) -> Answer<T> {
        let phrases = self.subject.phrases();
        match phrases.get(self.given) {
            Some(wanted) if !wanted.is_empty() && wanted.as_str() == typed => {
                let given = self.given + 1;
                if given == phrases.len() {
                    Answer::Yes(Confirmed(self.subject))
                } else {
                    Answer::More(Self { given, ..self })
                }
            }
            _ => Answer::No(self),
        }
    }

    /// All phrases at once, as command-line flags give them. `Err` names the first one missing.
    pub fn answer_all<'a>(self, typed: impl IntoIterator<Item = &'a str>) -> Result<Confirmed<T>, Clean> {
        let mut question = self;
        for phrase in typed {
            match question.answer(phrase) {
                Answer::Yes(proof) => return Ok(proof),
                Answer::More(next) => question = next,
                Answer::No(asked) => return Err(asked.wanted()),
            }
        }
        Err(question.wanted())
    }
}

impl<T> Confirmed<T> {
    /// What was confirmed.
    pub fn subject(&self) -> &T {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Two;
    impl Subject for Two {
        fn phrases(&self) -> Vec<Clean> {
            vec![Clean::ours("one"), Clean::ours("two")]
        }
    }

    #[test]
    fn only_every_phrase_in_order_confirms() {
        assert!(Confirm::new(Two).answer_all(["one", "two"]).is_ok());
        assert!(Confirm::new(Two).answer_all(["one"]).is_err());
        assert!(Confirm::new(Two).answer_all(["two", "one"]).is_err());
        assert!(Confirm::new(Two).answer_all([""]).is_err());
        assert!(matches!(Confirm::new(Two).answer("One"), Answer::No(_)));
    }
}
