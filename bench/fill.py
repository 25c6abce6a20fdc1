"""An old store: ledger rows and events by the million, put in behind the programs' backs. What was granted was granted
long ago, and the events' bytes are as long as wanted and mean nothing: `vouchsafe audit verify` would say so."""
import sqlite3

COLUMNS = "(one_time_hash, account, region, instance, role, rule, release, recipient, secrets, once_per_launch, launch_time," \
    " granted_us, retry_until_us, acknowledged_us, collected)"
# PostgreSQL: the same rows by generate_series
PG_INSTANCE = "'i-' || lpad(to_hex((n * 2654435761) % 1152921504606846976), 17, '0')"
PG_RELEASE = "lpad(to_hex((n * 2654435761) % 4294967296), 8, '0') || '-' || lpad(to_hex(n % 65536), 4, '0')" \
    " || '-7000-8000-' || lpad(to_hex(n), 12, '0')"
PG_LEDGER = "INSERT INTO ledger " + COLUMNS + " SELECT sha256(n::text::bytea), '123456789012', 'us-east-1', {instance}, 'web-tier', 'web'," \
    " {release}, sha256(n::text::bytea), 'hsm-partition-pin:1,hsm-client-key:1,hsm-client-cert:1', 0, {then} / 1000000," \
    " {then} + n, {then} + n + 900000000, {then} + n + 1000000, 1 FROM generate_series(1, {rows}::bigint) AS n"
PG_EVENT = "INSERT INTO event SELECT seq, bytes, sha256('\\x00'::bytea || bytes) FROM (SELECT {last} + n AS seq," \
    " ('{{\"seq\":' || ({last} + n) || ',\"filler\":\"' || repeat('x', {bytes}) || '\"}}')::bytea AS bytes" \
    " FROM generate_series(1, {events}::bigint) AS n) AS filler"
PG_FIND = "INSERT INTO find SELECT {last} + n, {then} + n, {granted} + n % 2, {node}, {instance}, {release}, {release}," \
    " '10.' || n % 250 || '.' || n / 250 % 250 || '.' || n / 62500 % 250, {ok}, NULL, {account}, {region}, {role}" \
    " FROM generate_series(1, {events}::bigint) AS n"

YEAR_AGO_US = 1735689600 * 1000000
NUMBERS = "WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number LIMIT %d) "
INSTANCE = "printf('i-%017x', (n * 2654435761) % 1152921504606846976)"
RELEASE = "printf('%08x-%04x-7000-8000-%012x', (n * 2654435761) % 4294967296, n % 65536, n)"

LEDGER = "INSERT INTO ledger " + COLUMNS + " SELECT randomblob(32), '123456789012', 'us-east-1', " + INSTANCE + ", 'web-tier', 'web', " \
    + RELEASE + ", randomblob(32), 'hsm-partition-pin:1,hsm-client-key:1,hsm-client-cert:1', 0, ?1 / 1000000, ?1 + n," \
    " ?1 + n + 900000000, ?1 + n + 1000000, 1 FROM number"
EVENT = "INSERT INTO event SELECT ?1 + n, CAST('{\"seq\":' || (?1 + n) || ',\"filler\":\"' || ?2 || '\"}' AS BLOB)," \
    " randomblob(32) FROM number"
FIND = "INSERT INTO find SELECT ?1 + n, ?2 + n, ?3 + n % 2, ?5, " + INSTANCE + ", " + RELEASE + ", " + RELEASE + \
    ", printf('10.%d.%d.%d', n % 250, n / 250 % 250, n / 62500 % 250), ?4, NULL, ?6, ?7, ?8 FROM number"
WORDS = ("release.granted", "release.acknowledged", "ok", "rp-0", "123456789012", "us-east-1", "web-tier")


def word(database, text):
    database.execute("INSERT INTO word (text) VALUES (?) ON CONFLICT (text) DO NOTHING", (text,))
    return database.execute("SELECT id FROM word WHERE text = ?", (text,)).fetchone()[0]


def fill(path, rows, events, event_bytes):
    """Before the first start of a server; indices are made again once all is in."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode = DELETE")
    database.execute("PRAGMA journal_mode = OFF")
    database.execute("PRAGMA synchronous = OFF")
    database.execute("PRAGMA cache_size = -2000000")
    indices = database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
                               " AND tbl_name IN ('find', 'ledger')").fetchall()
    for name, _ in indices:
        database.execute("DROP INDEX " + name)
    granted, acknowledged, ok, node, account, region, role = (word(database, text) for text in WORDS)
    assert acknowledged == granted + 1, "words are numbered as they come"
    last = database.execute("SELECT MAX(seq) FROM event").fetchone()[0]
    if rows:
        database.execute(NUMBERS % rows + LEDGER, (YEAR_AGO_US,))
    if events:
        database.execute(NUMBERS % events + EVENT, (last, "x" * event_bytes))
        database.execute(NUMBERS % events + FIND, (last, YEAR_AGO_US, granted, ok, node, account, region, role))
    for _, sql in indices:
        database.execute(sql)
    database.execute("PRAGMA journal_mode = WAL")
    database.close()


def fill_postgres(psql, rows, events, event_bytes):
    """The same behind the back of a PostgreSQL: `psql` runs statements in the store's database, each on its own."""
    prefix = "SET search_path = vouchsafe; SET synchronous_commit = off; SET maintenance_work_mem = '512MB'; "

    def run(statement):
        return psql(prefix + statement, seconds=3600)

    def number(statement):
        return int(run(statement).splitlines()[-1])

    indices = [line for line in run("SELECT indexname || '|' || indexdef FROM pg_indexes WHERE schemaname = 'vouchsafe'"
                                    " AND tablename = 'find' AND indexname NOT LIKE '%_pkey'").splitlines() if "|" in line]
    for line in indices:
        run("DROP INDEX " + line.partition("|")[0])
    for text in WORDS:
        run("INSERT INTO word (id, text) VALUES ((SELECT COALESCE(MAX(id), 0) + 1 FROM word), '%s')"
            " ON CONFLICT (text) DO NOTHING" % text)
    names = ("granted", "acknowledged", "ok", "node", "account", "region", "role")
    words = {name: number("SELECT id FROM word WHERE text = '%s'" % text) for name, text in zip(names, WORDS)}
    assert words["acknowledged"] == words["granted"] + 1, "words are numbered as they come"
    values = dict(words, instance=PG_INSTANCE, release=PG_RELEASE, then=YEAR_AGO_US, rows=rows, events=events,
                  bytes=event_bytes, last=number("SELECT COALESCE(MAX(seq), 0) FROM event"))
    for statement in (PG_LEDGER, PG_EVENT, PG_FIND):
        run(statement.format(**values))
    for line in indices:
        run(line.partition("|")[2])
    run("ANALYZE")
