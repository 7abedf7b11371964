//! Opening a session: the state, the world, the journal, and the runtime between them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use crate::app::keymap::Keymap;
use crate::app::setting::{Briefing, Missing, Setting};
use crate::app::state::State;
use crate::cli::catalog_file::{self, Current};
use crate::cli::config_file::Chosen;
use crate::cli::secret::resolve_path;
use crate::cli::wiring::{self, Live};
use crate::domain::catalog::{Consulted, Origin};
use crate::domain::cluster::WorkloadRef;
use crate::domain::document::{Fault, Source};
use crate::domain::environment::{Kind, SecretSource};
use crate::domain::name::{EnvName, IncidentId, Slug};
use crate::domain::record::{Entry, Line};
use crate::domain::runbook::{Library, NodeRef, RUNBOOKS, bundled_runbooks};
use crate::domain::scenario::{RedisPlan, Scenario};
use crate::domain::signature::Signatures;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::runtime::folder::{Shelf, StateFolder, private_folder};
use crate::runtime::journal::Journal;
use crate::runtime::screen::Errands;
use crate::runtime::{Places, Runtime};
use crate::text::{Clean, Gate};
use crate::world::World;
use crate::world::clock::Clock;
use crate::world::sandbox::Sandbox;

/// The memory of a drill's world, in the incident's folder.
pub const MEMORY: &str = "world.jsonl";

/// What a session is about: a world, its setting, and where its files are kept.
pub struct Scene {
    /// The ports.
    pub world: World,
    /// What the console shows of it.
    pub setting: Setting,
    /// Its clock.
    pub clock: Clock,
    /// The runbooks.
    pub runbooks: Library,
    /// What log lines tell.
    pub signatures: Signatures,
    /// Its gate.
    pub gate: Gate,
    /// The folder of its dumps; the incident's folder where none is configured.
    pub backups: Option<PathBuf>,
    rows: Option<PathBuf>,
    shelf: Shelf,
    folder: StateFolder,
}

fn missing(world: &World) -> Missing {
    Missing {
        cluster: world.cluster.as_ref().err().cloned(),
        workloads: world.workloads.as_ref().err().cloned(),
        releases: world.releases.as_ref().err().cloned(),
        database: world.database.as_ref().err().cloned(),
        backup: world.backup.as_ref().err().cloned(),
        gateway: world.gateway.as_ref().err().cloned(),
        cache: world.cache.as_ref().err().cloned(),
    }
}

impl Scene {
    /// The scene of an environment.
    ///
    /// # Errors
    /// A file of a runbook or of signatures that is configured and faulty, or a machine without a
    /// home folder.
    pub fn live(chosen: &Chosen, live: Live, gate: &Gate) -> Result<Self, Trouble> {
        let environment = &chosen.environment;
        let folder = StateFolder::find()?;
        let library = match &environment.runbook {
            None => bundled_runbooks(),
            Some(path) => library_with(&resolve_path(chosen.folder(), path), gate)?,
        };
        let signatures = match &environment.signatures {
            None => Signatures::bundled(),
            Some(path) => signatures_with(&resolve_path(chosen.folder(), path), &library, gate)?,
        };
        let Live { world, workloads, database, gateway, .. } = live;
        let Current { catalog, origin } = catalog_file::current(gate);
        let setting = Setting {
            context: environment.cluster.as_ref().map(|cluster| cluster.context.clone()),
            namespace: environment.cluster.as_ref().map(|cluster| cluster.namespace.clone()),
            workloads,
            missing: missing(&world),
            cache_namespace: environment.cache_namespace.clone(),
            billing: environment.billing,
            test_model: environment.test_model.clone(),
            database,
            database_secret: environment.database.as_ref().and_then(|store| match &store.source {
                SecretSource::Secret { name, key } => Some((name.clone(), key.clone())),
                SecretSource::Env(_) | SecretSource::File(_) => None,
            }),
            gateway,
            catalog,
            catalog_from: origin,
            ..Setting::bare(environment.name.clone(), environment.kind)
        };
        // Shown in full: the dump outlives the folder that the console was started in.
        let whole = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        let backups = environment.backup_folder.as_ref().map(|path| whole(resolve_path(chosen.folder(), path)));
        let clock = Clock::wall();
        Ok(Self {
            world,
            setting,
            clock,
            runbooks: library,
            signatures,
            gate: gate.clone(),
            backups,
            rows: None,
            shelf: Shelf::Incidents,
            folder,
        })
    }

    /// The scene of a drill that is kept in `folder`. `memory` keeps the world across a crash;
    /// without one it is new.
    ///
    /// # Errors
    /// The world's memory cannot be read.
    pub fn drill(
        scenario: &Scenario,
        folder: StateFolder,
        clock: Clock,
        memory: Option<PathBuf>,
        gate: &Gate,
    ) -> Result<Self, Trouble> {
        let world = Sandbox::open(scenario, clock, gate, memory)?;
        let place = &scenario.place;
        let workload = WorkloadRef { namespace: place.namespace.clone(), name: place.workload.clone() };
        let briefing = Briefing {
            scenario: scenario.id.clone(),
            title: scenario.title.clone(),
            story: scenario.briefing.clone(),
            hints: scenario.hints.values().flatten().cloned().collect(),
            debrief: scenario.debrief.clone(),
        };
        let setting = Setting {
            briefing: Some(briefing),
            context: Some(place.context.clone()),
            namespace: Some(place.namespace.clone()),
            workloads: vec![workload],
            missing: missing(&world),
            cache_namespace: scenario.gateway.cache.as_ref().and_then(RedisPlan::namespace).cloned(),
            billing: scenario.gateway.billing,
            database: Some(Clean::ours("the sandbox's database")),
            gateway: Some(Clean::ours("the sandbox's gateway")),
            catalog: Consulted::Embedded,
            newcomer: !folder.knows_drills(),
            ..Setting::bare(place.environment.clone(), Kind::Drill)
        };
        let library = bundled_runbooks();
        Ok(Self {
            world,
            setting,
            clock,
            runbooks: library,
            signatures: Signatures::bundled(),
            gate: gate.clone(),
            backups: None,
            rows: None,
            shelf: Shelf::Drills,
            folder,
        })
    }

    /// A new drill with its journal and its world's memory in `folder`.
    ///
    /// # Errors
    /// The journal or the memory cannot be started.
    pub fn begin_drill(
        scenario: &Scenario,
        folder: StateFolder,
        clock: Clock,
        gate: &Gate,
    ) -> Result<Runtime, Trouble> {
        let id = new_id(&scenario.place.environment);
        let incident = folder.incident(Shelf::Drills, &id);
        private_folder(&incident, gate)?;
        Self::drill(scenario, folder, clock, Some(incident.join(MEMORY)), gate)?.begin(id, None, &[])
    }

    /// A drill taken up again, with the world as its memory holds it.
    ///
    /// # Errors
    /// The memory cannot be read.
    pub fn resume_drill(
        scenario: &Scenario,
        folder: StateFolder,
        clock: Clock,
        id: &IncidentId,
        (journal, lines): (Journal, Vec<Line>),
        gate: &Gate,
    ) -> Result<Runtime, Trouble> {
        let memory = folder.incident(Shelf::Drills, id).join(MEMORY);
        Ok(Self::drill(scenario, folder, clock, Some(memory), gate)?.resume(id, journal, lines))
    }

    /// Acts look for kept rows in this folder instead of the incident's own.
    #[must_use]
    pub fn keeping_rows_in(mut self, folder: PathBuf) -> Self {
        self.rows = Some(folder);
        self
    }

    /// Opens a new incident, at a node of the runbooks.
    ///
    /// # Errors
    /// The journal cannot be started.
    pub fn begin(self, id: IncidentId, start: Option<NodeRef>, notes: &[Clean]) -> Result<Runtime, Trouble> {
        let folder = self.folder.incident(self.shelf, &id);
        let journal = Journal::create(&folder, &self.gate)?;
        let entries = self.opening(id, start, notes);
        Ok(self.runtime(journal, folder, Vec::new(), entries))
    }

    /// Looks without opening an incident: nothing is written to this machine.
    pub fn peek(self, start: Option<NodeRef>) -> Runtime {
        let journal = Journal::nowhere(&self.gate);
        let id = new_id(&self.setting.environment);
        let folder = self.folder.incident(self.shelf, &id);
        let entries = self.opening(id, start, &[]);
        self.runtime(journal, folder, Vec::new(), entries)
    }

    /// Takes an incident up again.
    pub fn resume(self, id: &IncidentId, journal: Journal, lines: Vec<Line>) -> Runtime {
        let folder = self.folder.incident(self.shelf, id);
        let entries = vec![Entry::Resumed { entries: lines.len() as u64 }];
        self.runtime(journal, folder, lines, entries)
    }

    /// Where this is: context, namespace, workloads, database, and a catalog that did not come with
    /// the program.
    pub fn place(&self) -> Vec<Clean> {
        let setting = &self.setting;
        let context = setting.context.iter().map(|context| say!("context {}", context));
        let namespace = setting.namespace.iter().map(|namespace| say!("namespace {}", namespace));
        let workloads = setting.workloads.iter().map(|workload| say!("{}", workload));
        // Whoever reads the journal later wants to know by what the forecasts went.
        let refreshed = !matches!(setting.catalog_from, Origin::Embedded);
        let catalog =
            refreshed.then(|| say!("catalog of {}, {}", setting.catalog.made(), setting.catalog_from.words()));
        context.chain(namespace).chain(workloads).chain(setting.database.clone()).chain(catalog).collect()
    }

    fn opening(&self, id: IncidentId, start: Option<NodeRef>, notes: &[Clean]) -> Vec<Entry> {
        let start = start.unwrap_or_else(|| self.runbooks.start().clone());
        let runbook = self.runbooks.runbook(&start.runbook);
        let opened = Entry::Opened {
            incident: id,
            environment: self.setting.environment.clone(),
            kind: self.setting.kind.word().to_owned(),
            scenario: self.setting.briefing.as_ref().map(|briefing| briefing.scenario.clone()),
            place: self.place().iter().map(Clean::to_string).collect(),
            runbook: start.runbook.clone(),
            version: runbook.map_or(0, |runbook| runbook.version),
            hash: runbook.map(|runbook| runbook.hash.to_string()).unwrap_or_default(),
            start,
        };
        let notes = notes.iter().map(|words| Entry::Noted { words: words.to_string() });
        std::iter::once(opened).chain(notes).collect()
    }

    fn runtime(mut self, journal: Journal, folder: PathBuf, lines: Vec<Line>, entries: Vec<Entry>) -> Runtime {
        let backups = self.backups.clone().unwrap_or_else(|| folder.clone());
        let environment = &self.setting.environment;
        // Without a folder of its own, each incident keeps its dumps beside its journal.
        let earlier =
            self.folder.incidents().into_iter().filter(|(shelf, id)| *shelf == self.shelf && is_of(id, environment));
        let earlier = earlier.map(|(shelf, id)| self.folder.incident(shelf, &id));
        let mut dumps = vec![backups.clone()];
        dumps.extend(earlier.filter(|folder| *folder != backups));
        let places = Places { backups, dumps, incident: self.rows.unwrap_or(folder), locks: self.folder.locks() };
        self.setting.folder = self.gate.clean(&places.backups.display().to_string());
        let mut state = State::new(
            self.setting,
            Arc::new(self.runbooks),
            Arc::new(self.signatures),
            Arc::new(Keymap::bundled()),
            self.gate.clone(),
            self.clock.now(),
        );
        for line in &lines {
            state.incident.apply(line.at, &line.entry, &self.gate);
        }
        state.journal.written = lines.len() as u64;
        let mut runtime = Runtime::new(state, self.world, self.clock, journal, places);
        runtime.begin(entries);
        runtime
    }
}

/// The runbooks with one of them replaced or added from a file.
fn library_with(path: &Path, gate: &Gate) -> Result<Library, Trouble> {
    let (shown, text) = own_file(path, "runbook", gate)?;
    let faulty = |faults: Vec<Fault>| {
        let first = faults.first().map(|fault| gate.clean(&fault.to_string())).unwrap_or_default();
        Trouble::new(TroubleKind::Invalid, say!("the runbook has {} faults, first: {}", faults.len(), first))
            .remedy(say!("`lastgood runbook lint {}` lists them", shown))
    };
    let runbook = Library::lint(shown.as_str(), &text, gate).map_err(faulty)?;
    let own_id = format!("id = \"{}\"", runbook.id);
    let others = RUNBOOKS.iter().copied().filter(|source| !source.text.lines().any(|line| line.trim() == own_id));
    // The first one is where an incident starts.
    let own = Source { file: shown.as_str(), text: &text };
    let sources: Vec<Source<'_>> = std::iter::once(own).chain(others).collect();
    Library::parse(&sources, gate).map_err(faulty)
}

/// The signatures of a file and the bundled ones.
fn signatures_with(path: &Path, runbooks: &Library, gate: &Gate) -> Result<Signatures, Trouble> {
    let (shown, text) = own_file(path, "signatures", gate)?;
    let faulty = |faults: Vec<Fault>| {
        let told =
            faults.iter().map(|fault| gate.clean(&fault.to_string())).reduce(|all, each| say!("{}; {}", all, each));
        Trouble::new(TroubleKind::Invalid, told.unwrap_or_default())
    };
    let signatures = Signatures::with_own(Source { file: shown.as_str(), text: &text }, gate).map_err(faulty)?;
    let nowhere = signatures.iter().find_map(|(_, signature)| {
        let node = signature.runbook.as_ref().filter(|node| runbooks.node(node).is_none())?;
        Some(say!("{}: signature {} leads to {}, and no runbook has that node", shown, signature.id, node))
    });
    match nowhere {
        None => Ok(signatures),
        Some(what) => Err(Trouble::new(TroubleKind::Invalid, what)
            .remedy(Clean::ours("name a node of the runbook in force as RUNBOOK:NODE, or leave `runbook` out"))),
    }
}

/// What a configured file says, with its name for people.
fn own_file(path: &Path, what: &'static str, gate: &Gate) -> Result<(Clean, String), Trouble> {
    let shown = gate.clean(&path.display().to_string());
    match std::fs::read_to_string(path) {
        Ok(text) => Ok((shown, text)),
        Err(why) => {
            let why = gate.clean(&why.to_string());
            Err(Trouble::new(TroubleKind::Disk, say!("the {} file {} cannot be read: {}", what, shown, why)))
        }
    }
}

/// A new id: the time, the environment, and enough chance to tell two of one second apart.
pub fn new_id(environment: &EnvName) -> IncidentId {
    let mut chance = [0u8; 2];
    // Without chance two consoles of one second would share an id, and the second is refused.
    let _ = getrandom::fill(&mut chance);
    let at = Timestamp::now().strftime("%Y%m%d-%H%M%S");
    let name: String = environment.as_str().chars().map(|c| if c == '_' { '-' } else { c }).take(40).collect();
    format!("{at}-{name}-{:02x}{:02x}", chance[0], chance[1])
        .parse()
        .unwrap_or_else(|why| unreachable!("made of letters, digits and dashes: {why}"))
}

/// Whether an incident's id was made for this environment.
fn is_of(id: &IncidentId, environment: &EnvName) -> bool {
    let stem = |id: &IncidentId| -> Option<String> {
        let (_, named) = id.as_str().split_at_checked("YYYYmmdd-HHMMSS-".len())?;
        Some(named.rsplit_once('-')?.0.to_owned())
    };
    stem(id).is_some_and(|named| stem(&new_id(environment)) == Some(named))
}

/// A node of the bundled runbooks.
pub fn node(runbook: &'static str, node: &'static str) -> NodeRef {
    let slug = |raw: &'static str| -> Slug { raw.parse().unwrap_or_else(|why| unreachable!("a literal: {why}")) };
    NodeRef { runbook: slug(runbook), node: slug(node) }
}

/// A live scene from the environment that was chosen, for a command without a screen.
///
/// # Errors
/// As [`Scene::live`].
pub async fn live(chosen: &Chosen, gate: &Gate) -> Result<Scene, Trouble> {
    Scene::live(chosen, wiring::open(chosen, None, gate).await, gate)
}

/// A live scene for the screen, and what it needs the plain terminal for. Waits for nobody.
///
/// # Errors
/// As [`Scene::live`].
pub async fn live_on_screen(chosen: &Chosen, gate: &Gate) -> Result<(Scene, Errands), Trouble> {
    let (sender, errands) = Errands::queue();
    let scene = Scene::live(chosen, wiring::open(chosen, Some(sender), gate).await, gate)?;
    Ok((scene, errands))
}
