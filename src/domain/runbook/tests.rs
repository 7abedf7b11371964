//! Sound runbooks are read and walked; every fault of an unsound one is told with its place.

use super::*;

/// A sound runbook, in parts that a test replaces.
const HEAD: &str = "id = \"a\"\ntitle = \"A\"\nversion = 1\nstart = \"q\"\n";
const ASK: &str = "[node.q]\ntitle = \"Q\"\nstage = \"decide\"\nchoices = [{ say = \"go\", goto = \"s\", when = [\"pods-broken\"] }, { say = \"stop\", goto = \"e\" }]\n";
const STEP: &str = "[node.s]\ntitle = \"S\"\nstage = \"act\"\ndo = \"revert\"\ndone = \"m\"\nfailed = \"q\"\n";
const MANUAL: &str = "[node.m]\ntitle = \"M\"\nstage = \"act\"\nmanual = true\ncommands = [\"ls {namespace}\"]\ndone = \"e\"\nfailed = \"q\"\n";
const END: &str = "[node.e]\ntitle = \"E\"\nstage = \"prove\"\nend = \"reached\"\n";

fn sound() -> String {
    [HEAD, ASK, STEP, MANUAL, END].concat()
}

fn faults_of(texts: &[&str]) -> Vec<String> {
    let names = ["a.toml", "b.toml"];
    let sources: Vec<_> = texts.iter().zip(names).map(|(text, file)| Source { file, text }).collect();
    let faults = Library::parse(&sources, &Gate::default()).err().unwrap_or_default();
    faults.iter().map(|fault| fault.to_string()).collect()
}

#[test]
fn a_sound_runbook_parses_and_can_be_walked() {
    let library =
        Library::parse(&[Source { file: "a.toml", text: &sound() }], &Gate::default()).expect("the runbook is sound");
    let start = library.node(library.start()).expect("the start is there");
    assert_eq!(start.suggested(|fact| Some(fact == Fact::PodsBroken)), Some(0));
    assert_eq!(start.suggested(|_| Some(false)), None, "an answer without facts is never suggested");
    assert_eq!(library.runbooks().count(), 1);
    assert_eq!(library.runbook(&"a".parse().unwrap()).map(|runbook| runbook.hash.as_str().len()), Some(64));
}

#[test]
fn nothing_is_suggested_while_an_answer_further_up_may_still_hold() {
    let text = sound().replacen("goto = \"e\" }", "goto = \"e\", when = [\"pods-healthy\"] }", 1);
    let library =
        Library::parse(&[Source { file: "a.toml", text: &text }], &Gate::default()).expect("the runbook is sound");
    let start = library.node(library.start()).expect("the start is there");
    let broken = |known| move |fact| if fact == Fact::PodsBroken { known } else { Some(true) };
    assert_eq!(start.suggested(broken(None)), None);
    assert_eq!(start.suggested(broken(Some(false))), Some(1));
    assert_eq!(start.suggested(broken(Some(true))), Some(0));
}

#[test]
fn every_kind_of_fault_names_file_line_node_and_remedy() {
    // what is replaced, by what, the message
    let rows = [
        ("version = 1", "version = ", "a.toml:3: this is not TOML: "),
        (
            "version = 1",
            "version = -1",
            "a.toml:3: `version` is not a whole number from 0 up that is not too big; write",
        ),
        ("title = \"A\"\n", "", "a.toml:1: `title` is missing; add `title = …`"),
        ("title = \"A\"", "title = 1", "a.toml:2: `title` is not a string; write a string"),
        ("title = \"A\"", "title = \" \"", "a.toml:2: `title` is empty; say something"),
        (
            "title = \"A\"",
            "title = \"A\"\ncolour = 1",
            "a.toml:3: unknown key `colour`; use one of id, node, start, title, version",
        ),
        ("id = \"a\"", "id = \"A b\"", "a.toml:1: `A b` is not an id; write lower case letters"),
        (
            "start = \"q\"",
            "start = \"x\"",
            "a.toml:4: the start node `x` does not exist; add `[node.x]`, or name another start",
        ),
        (
            "title = \"Q\"",
            "title = \"Q\"\nsay_so = 1",
            "a.toml:7: node q: unknown key `say_so`; use one of choices, do,",
        ),
        (
            "stage = \"decide\"",
            "stage = \"later\"",
            "a.toml:7: node q: there is no stage `later`; use one of `decide`, `prepare`, `act`, `prove`",
        ),
        (
            "stage = \"decide\"",
            "stage = \"decide\"\nshow = \"cats\"",
            "a.toml:8: node q: there is no pane `cats`; use one of `pods`,",
        ),
        ("do = \"revert\"", "do = \"reboot\"", "a.toml:12: node s: there is no step `reboot`; use one of `backup`,"),
        ("[\"pods-broken\"]", "[\"rain\"]", "a.toml:8: node q: there is no fact `rain`; use one of `pods-broken`,"),
        ("do = \"revert\"", "", "node s: it does nothing; add exactly one of `choices`, `do`, `manual` and `end`"),
        (
            "do = \"revert\"",
            "do = \"revert\"\nend = \"reached\"",
            "node s: it is two things at once, `do` and `end`; keep exactly one",
        ),
        ("end = \"reached\"", "end = \"perhaps\"", "node e: this is no end; use `reached` or `not-reached`"),
        ("done = \"m\"\n", "", "node s: `done` is missing; add `done = \"NODE\"` or `\"RUNBOOK:NODE\"`"),
        ("goto = \"s\"", "goto = \"z\"", "a.toml:8: node q: it leads to `a:z`, which does not exist; add that node"),
        ("goto = \"s\"", "goto = \"other:s\"", "a.toml:8: node q: it leads to `other:s`, which does not exist"),
        ("say = \"stop\"", "say = \"go\"", "a.toml:8: node q: two choices say `go`; give each choice"),
        (
            "{namespace}",
            "{planet}",
            "a.toml:19: node m: there is no placeholder `planet`; use one of namespace, workload,",
        ),
        ("manual = true", "manual = false", "node m: `manual = false` says nothing; write `manual = true`"),
        ("[node.q]", "[node.\"Not kebab\"]", "`Not kebab` is not an id; write lower case"),
        (
            "[node.q]",
            "[node.x]\ntitle = \"X\"\nstage = \"act\"\nend = \"reached\"\n[node.q]",
            "a.toml:5: node x: nothing leads here; lead a choice, a step or a signature here, or remove it",
        ),
    ];
    for (from, to, message) in rows {
        let text = sound().replacen(from, to, 1);
        assert_ne!(text, sound(), "the row replaces nothing: {from}");
        let faults = faults_of(&[&text]);
        assert!(faults.iter().any(|fault| fault.contains(message)), "wanted {message:?}, got {faults:#?}");
    }
    assert!(faults_of(&[&sound()]).is_empty());
}

#[test]
fn questions_have_one_to_nine_choices() {
    let none = sound().replacen(
        "choices = [{ say = \"go\", goto = \"s\", when = [\"pods-broken\"] }, { say = \"stop\", goto = \"e\" }]",
        "choices = []",
        1,
    );
    assert!(faults_of(&[&none]).iter().any(|f| f.contains("one to 9 choices, this one has 0")));
    let more: String = (0..8).map(|n| format!(", {{ say = \"n{n}\", goto = \"e\" }}")).collect();
    let ten = sound().replacen("goto = \"e\" }]", &format!("goto = \"e\" }}{more}]"), 1);
    assert!(faults_of(&[&ten]).iter().any(|f| f.contains("one to 9 choices, this one has 10")));
}

#[test]
fn a_loop_without_an_end_is_a_fault() {
    let text = sound()
        .replacen("{ say = \"stop\", goto = \"e\" }", "{ say = \"again\", goto = \"q\" }", 1)
        .replacen("done = \"e\"", "done = \"q\"", 1)
        .replacen("title = \"E\"", "title = \"E\"\nsignatures = [\"x\"]", 1);
    let faults = faults_of(&[&text]);
    assert_eq!(faults.iter().filter(|f| f.contains("no way leads from here to an end")).count(), 3, "{faults:#?}");
}

#[test]
fn all_faults_are_told_at_once() {
    let text = sound().replacen("do = \"revert\"", "do = \"x\"", 1).replacen("end = \"reached\"", "end = \"y\"", 1);
    assert!(faults_of(&[&text.replacen("version = 1", "version = \"z\"", 1)]).len() >= 3);
}

#[test]
fn two_runbooks_share_neither_ids_nor_signatures() {
    assert!(faults_of(&[&sound(), &sound()]).iter().any(|f| f.contains("b.toml:1: the id `a` is taken by a.toml")));
    let linked =
        |id| sound().replacen("id = \"a\"", id, 1).replacen("title = \"Q\"", "title = \"Q\"\nsignatures = [\"p\"]", 1);
    let faults = faults_of(&[&linked("id = \"a\""), &linked("id = \"b\"")]);
    assert!(faults.iter().any(|f| f.contains("the signature `p` already leads to a:q")), "{faults:#?}");
}

#[test]
fn lint_knows_the_bundled_runbooks() {
    let gate = Gate::default();
    let crossing = sound().replacen("goto = \"s\"", "goto = \"litellm-rollback:scope\"", 1);
    let crossing = crossing.replacen("title = \"S\"", "title = \"S\"\nsignatures = [\"mine\"]", 1);
    assert_eq!(
        Library::lint("mine.toml", &crossing, &gate).map(|r| r.id.to_string()).map_err(|f| f[0].to_string()),
        Ok("a".to_owned())
    );
    let replaced = sound().replacen("id = \"a\"", "id = \"litellm-rollback\"", 1);
    let faults = Library::lint("mine.toml", &replaced, &gate).unwrap_err();
    assert!(
        faults.iter().any(|f| f.to_string().contains("it leads to `litellm-rollback:scope`, which does not exist"))
    );
    assert!(Library::lint("mine.toml", "", &gate).is_err());
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        let _ = Library::lint("x.toml", &text, &Gate::default());
    }

    #[test]
    fn no_mutation_of_a_sound_runbook_panics(at in 0usize..600, cut in 0usize..40, put in "[a-z\"\\[\\]{}=\\n.:0-9é-]{0,8}") {
        let text = sound();
        let at = (0..=at.min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        let end = (at + cut).min(text.len());
        let _ = Library::lint("x.toml", &format!("{}{put}{}", &text[..at], &text[end..]), &Gate::default());
    }
}
