//! `lastgood` takes a failing LLM gateway back to its last good state, and proves it. This page is
//! the map: read it before you change anything.
//!
//! # The shape
//!
//! A state machine inside, ports and adapters outside. [`app::update::update`] takes the state and
//! one message, changes the state, and answers with effects, which are data. [`ui::draw`] shows the
//! state. [`app::feeds::feeds`] says which live streams the state wants. The
//! [`runtime`] awaits messages, performs effects in tasks, starts and stops feeds by the
//! difference, and draws. The [`world`] is a handful of ports, each implemented twice: over a real
//! client, and in the [sandbox](world::sandbox). Commands without a screen are the same machine:
//! a [pilot](app::pilot) sends the messages that keys would have sent.
//!
//! ```text
//!                  main, cli             arguments, configuration, wiring, exit codes
//!                      │
//!                   runtime              the loop, tasks, the journal's file, the terminal
//!             ┌────────┼──────────┐
//!             │        ui         │      drawing, and nothing else
//!             │        │          │
//!             │       app       world    app: state, messages, effects, decisions
//!             │        └────┬─────┘      world: ports, live adapters, sandbox
//!             └────────── domain         the field's nouns; no input, no output, no clock
//!                           │
//!                         text           the gate: the only door for text from outside
//! ```
//!
//! A floor names only floors below it, and `app` and `world` never name each other. The same noun
//! has the same file name on every floor: for migrations open `domain/migration.rs`,
//! `app/migrations.rs`, `ui/migrations.rs`, `world/postgres/migrations.rs`.
//!
//! # What always holds
//!
//! 1. Only `update` changes [`State`](app::state::State). It awaits nothing, reads no file and no
//!    clock (time arrives as [`Msg::Tick`](app::msg::Msg::Tick)), and cannot fail.
//! 2. `draw` and `feeds` are functions of `&State`. Nothing is remembered between two frames.
//! 3. The loop awaits only its `select!`. What takes time is an effect. No closure crosses a
//!    channel, so [`Effect`](app::effect::Effect) and [`Msg`](app::msg::Msg) list all that can happen.
//! 4. An act is on disk before it starts: [`Announced`](app::effect::Announced) carries the entry,
//!    and the runtime writes and syncs it first. Effects that follow a record wait for it; when the
//!    disk refuses, they are not done, and nothing changes any more.
//! 5. An act is sent once. When nobody knows what came of it, its outcome is *unknown*: it is
//!    shown, the present fact is looked up, and the operator decides. Nothing repeats it.
//! 6. No row is deleted or resolved without a [`Confirmed`](domain::confirm::Confirmed), and only
//!    typing makes one. No template is sent without a [`Cleared`](domain::change::Cleared), and only
//!    the schema guard makes one.
//! 7. Text from outside is [`Clean`](text::Clean), and only the [`Gate`](text::Gate) makes one.
//!    Ports return domain types, so an adapter that skips the gate does not compile. Two things are
//!    not text: identifiers ([`domain::name`]: validated, compared as they are), and
//!    [`Sealed`](text::Sealed) rows that an undo must put back exactly.
//! 8. What is on screen has an age: [`Live`](domain::live::Live). A lost connection keeps the last
//!    value and says since when; an unknown never counts as a yes.
//! 9. Live and drill differ in the [`World`](world::World) and in the colour of the banner. Nothing
//!    falls back from one to the other.
//!
//! # One key, from the keyboard to the database
//!
//! `d` in the migrations pane, on a failed row.
//!
//! 1. [`runtime::screen`] reads the key and dispatches `Msg::Key`. The [keymap](app::keymap) makes
//!    an [`Action`](app::action::Action) of it, which says itself whether it is allowed now: a
//!    read-only console answers with the reason.
//! 2. `app/migrations.rs` pushes an [`Overlay`](app::overlay::Overlay) with a
//!    [`Confirm`](domain::confirm::Confirm). The overlay on top gets the keys; `draw` shows the name
//!    to type. The last letter and `enter` turn it into a `Confirmed<Deletion>`.
//! 3. `State::announce` folds [`Entry::Started`](domain::record::Entry::Started) into the
//!    [`Incident`](domain::incident::Incident) and returns `Effect::Act`. The runtime appends the
//!    entry to the journal, waits until it is synced, and only then spawns the act
//!    ([`runtime::perform`]).
//! 4. [`Database::delete`](world::Database::delete) locks the row, compares it with what was shown,
//!    writes the restore file, deletes by id, counts, commits. Its answer, or its
//!    [`Trouble`](domain::trouble::Trouble), comes back as `Msg::Acted`.
//! 5. `app/acts.rs` folds `Entry::Finished`, tells the operator, and asks for the table again.
//!
//! Cut the power anywhere: the journal ends with one of these entries, and `lastgood resume` folds
//! what is there through the same [`Incident::apply`](domain::incident::Incident::apply).
//!
//! # Where state is kept
//!
//! | what | in memory | on disk |
//! |---|---|---|
//! | decisions, acts, notes, ticks | `State::incident`, folded from entries | `journal.jsonl`, the only truth |
//! | what was seen: pods, logs, rows | `State`, with its age | nowhere; it is asked for again |
//! | where one looks: focus, selection, dialogs | `State::view`, `State::overlays` | nowhere |
//! | a row that can be put back | `Sealed`, in a port | a restore file beside the journal |
//! | the world of a drill | [`world::sandbox`] | `world.jsonl` beside the journal |
//! | versions that were published since | `Setting::catalog` | `catalog.json.gz` in the data folder |
//! | who may act on this machine | the runtime's lock | `locks/ENVIRONMENT.lock` |
//!
//! # To add something, touch these
//!
//! * **A pane**: `Pane` and its actions in `app/action.rs`, its file in `ui/` with its line in
//!   `ui.rs`, its keys in `assets/keys.toml`, its screens in `ui/screens.rs`.
//! * **A step**: `StepKind` in `domain/step.rs`, what it does in `app/runbook.rs`, its words and
//!   commands in `app/plan.rs`, how it goes on without a screen in `app/pilot.rs`, then the runbooks
//!   that use it.
//! * **An act**: `Act` in `app/effect.rs`, `ActKind` in `domain/record.rs` (old journals must still
//!   read), `runtime/perform.rs`, `app/acts.rs`.
//! * **A port**: its trait and its place in `World` in `world.rs`, a live adapter and a sandbox part,
//!   `Look` or `Act` for each method, `cli/wiring.rs`.
//! * **A check**: `CheckId` in `domain/checklist.rs`, its judgement in `domain/checks/`, its looks in
//!   `app/checks.rs`.
//! * **A scenario**: a file in `assets/scenarios/`, its line in `domain/scenario/bundled.rs`, and its
//!   walk in `tests/flows.rs`. What a person does by hand in it, the sandbox does when the manual
//!   step is on record as done ([`world::Hands`]).
//! * **A version of LiteLLM**: `lastgood catalog build --output assets/catalog.json.gz`; what it does when
//!   it starts is read out of its code by `domain/catalog/startup.rs`.
//! * **A log signature**: an entry in `assets/signatures.toml`, with the line that it comes from.
//!
//! # How it is tested
//!
//! Decisions as data (`tests/decisions.rs`, `tests/rollback.rs`), whole drills by keys on a clock
//! that does not wait (`tests/flows.rs`), journals cut after every entry (`tests/resume.rs`), the real binary in a real
//! terminal (`tests/terminal.rs`), adapters against a real PostgreSQL, real sockets and a replayed
//! API server (`tests/database.rs`, `tests/kubernetes.rs` and others), the advice on migration rows
//! by Prisma's own engine (`tests/prisma.rs`), the traps of a rollback and who walks into each
//! (`tests/traps/matrix.rs`), planted secrets at every exit (`tests/secrets.rs`), every file in
//! `assets/` (`tests/assets.rs`), screens as text (`ui/screens.rs`), the floors and invariants of
//! this page (`tests/architecture.rs`), and what the README promises (`tests/readme.rs`). `tests/run`
//! installs what they need.

#[macro_use]
pub mod text;
pub mod app;
pub mod cli;
pub mod domain;
pub mod runtime;
pub mod ui;
pub mod world;
