// Prisma's schema engine, asked by lines of JSON on the standard input; one line answers each.
//
// {url, command, migrations?, schema?, name?}: `command` is deploy, applied, rolled-back or push
// (`db push --accept-data-loss`); `migrations` a folder, `schema` the text of a
// schema.prisma. An answer is {ok: …} or {error: "…"}.

import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const require = createRequire(path.join(process.argv[2], "package.json"));
const engineFile = require.resolve("@prisma/schema-engine-wasm/schema_engine_bg");
const engine = await import(pathToFileURL(engineFile));
const binary = readFileSync(engineFile.replace(/\.js$/, ".wasm"));
const { instance } = await WebAssembly.instantiate(binary, { "./schema_engine_bg.js": engine });
engine.__wbg_set_wasm(instance.exports);
instance.exports.__wbindgen_start();

const { PrismaPg } = require("@prisma/adapter-pg");
const { bindMigrationAwareSqlAdapterFactory } = require("@prisma/driver-adapter-utils");
const pg = require("pg");

// The adapter does not know PostgreSQL's types "char" (18) and name (19), which the engine reads
// in the catalogue. Both are text.
class Pool extends pg.Pool {
  async query(...asked) {
    const answer = await super.query(...asked);
    for (const field of answer.fields ?? []) {
      if (field.dataTypeID === 18 || field.dataTypeID === 19) field.dataTypeID = 25;
    }
    return answer;
  }
}

// The adapter cuts a script at every semicolon. The native engine sends it as it is: one simple
// query, and so one transaction.
class WholeScripts extends PrismaPg {
  async connect() {
    const adapter = await super.connect();
    adapter.executeScript = async (script) => {
      try {
        await adapter.underlyingDriver().query(script);
      } catch (why) {
        adapter.onError(why);
      }
    };
    return adapter;
  }
}

function migrationsOf(folder) {
  const read = (...parts) => readFileSync(path.join(folder, ...parts), "utf8");
  const entries = readdirSync(folder, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name).sort();
  return {
    baseDir: folder,
    lockfile: { path: "migration_lock.toml", content: read("migration_lock.toml") },
    shadowDbInitScript: "",
    migrationDirectories: names.map((name) => ({
      path: name,
      migrationFile: { path: "migration.sql", content: { tag: "ok", value: read(name, "migration.sql") } },
    })),
  };
}

async function answer({ url, command, migrations, schema, name }) {
  // One session, as the native engine has: it holds the advisory lock.
  const pool = new Pool({ connectionString: url, max: 1 });
  const adapter = bindMigrationAwareSqlAdapterFactory(new WholeScripts(pool));
  const datamodels = schema === undefined ? undefined : [["schema.prisma", schema]];
  const session = await engine.SchemaEngine.new({ datamodels }, () => {}, adapter);
  const filters = { externalTables: [], externalEnums: [] };
  try {
    switch (command) {
      case "deploy":
        return (await session.applyMigrations({ migrationsList: migrationsOf(migrations), filters })).appliedMigrationNames;
      case "applied":
        return await session.markMigrationApplied({ migrationsList: migrationsOf(migrations), migrationName: name });
      case "rolled-back":
        return await session.markMigrationRolledBack({ migrationName: name });
      case "push": {
        const files = [{ path: "schema.prisma", content: schema }];
        const pushed = await session.schemaPush({ force: true, schema: { files }, filters });
        if (pushed.unexecutable.length > 0) throw new Error(pushed.unexecutable.join("\n"));
        return pushed.warnings;
      }
      default:
        throw new Error(`no such command: ${command}`);
    }
  } finally {
    session.free();
    await pool.end();
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  let said;
  try {
    said = { ok: (await answer(JSON.parse(line))) ?? null };
  } catch (why) {
    said = { error: String(why?.message ?? why) };
  }
  console.log(JSON.stringify(said));
}
// Timers of closed connections would keep the process for many seconds.
process.exit(0);
