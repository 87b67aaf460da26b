"""The root of the command line."""

import typer

from calipso.cli.lazy import Lazy, lazily

COMMANDS = {
    "serve": Lazy(
        "calipso.cli.serve:serve",
        "Run everything: PostgreSQL and NATS (unless given by settings), the API, projections, relay and provisioners.",
    ),
    "api": Lazy("calipso.cli.api:api", "Serve the REST interface; any number of these may run."),
    "project": Lazy("calipso.cli.project:project", "Keep the read models and Guacamole's tables up to date."),
    "relay": Lazy("calipso.cli.relay:relay", "Publish stored events to NATS; of several, one is active."),
    "provision": Lazy(
        "calipso.cli.provision:provision",
        "Provision and reconcile the containers of one target; any number may run for each.",
    ),
    "migrate": Lazy("calipso.cli.migrate:migrate", "Prepare the databases; harmless to repeat."),
    "explain": Lazy(
        "calipso.cli.explain:explain",
        "Tell all of one container: its events, what the target says, its Guacamole rows, its log, the next deadline.",
    ),
    "backup": Lazy(
        "calipso.cli.backups:backup",
        "Back up the store while it runs: events, keys of people, accounts. Not the master keys: keep those elsewhere.",
        epilog="Examples: `calipso backup`, `calipso backup /backups/today.zip`",
    ),
    "restore": Lazy(
        "calipso.cli.restoring:restore",
        "Restore a backup into an empty system on which nothing runs yet; the next start goes on from there.",
        epilog="Examples: `calipso restore FILE --check`, `calipso restore FILE --data /srv/calipso`",
    ),
    "republish": Lazy(
        "calipso.cli.relay:republish",
        "Empty the stream on NATS and publish every event again, when it tells of events that a restored store has "
        "not.",
    ),
    "history": Lazy(
        "calipso.cli.history:history",
        "Tell what happened, oldest first, each event with who caused it and a sentence; this itself is recorded.",
        epilog="Examples: `calipso history --user ada --since 2026-11-20`, "
        "`calipso history --container calipso-22...`, "
        "`calipso history --kind container --format csv > containers.csv`",
    ),
    "rebuild": Lazy(
        "calipso.cli.rebuilding:rebuild",
        "Make projections anew from the first event, compare them with the live ones, and put them in their place.",
        epilog="Examples: `calipso rebuild containers`, `calipso rebuild --all --check`, "
        "`calipso rebuild --all --until 2026-11-20T14:03:00Z --into postgresql://localhost/scratch`",
    ),
    "verify": Lazy(
        "calipso.cli.proving:verify",
        "Find out whether a stored event was changed, removed, inserted or reordered; status 1 when one was.",
        epilog="Examples: `calipso verify`, `calipso verify --from 100000`, "
        "`calipso verify --checkpoint calipso.checkpoint --public-key calipso.pem`",
    ),
    "usage": Lazy(
        "calipso.cli.usage:usage",
        "Tell what containers used: hours that they ran and that they held their quota; the last 30 days by default.",
        epilog="Examples: `calipso usage --by user,day`, "
        "`calipso usage --since 2026-10-01 --until 2026-11-01 --by experiment --format csv`",
    ),
    "what-if": Lazy(
        "calipso.cli.what_if:what_if_",
        "Replay the requests of a period (the last 30 days) against another quota or catalogue; nothing is changed.",
        epilog="Examples: `calipso what-if --quota cpu=4 --quota memory=8G --since 2026-10-01`, "
        "`calipso what-if --without-image old-desktop --report users`",
    ),
    "as-of": Lazy(
        "calipso.cli.as_of:as_of",
        "Tell what was at a moment: containers, a quota, the catalogue, or who could reach a data set, and why.",
        epilog="Examples: `calipso as-of 2026-11-20T14:03:00Z containers ada`, "
        "`calipso as-of 2026-11-20T14:03:00Z who-could /tmp/data/p1`",
    ),
    "settings": Lazy(
        "calipso.cli.effective_settings:settings_",
        "Check all settings, and print those in effect with secrets hidden; asks no database.",
        epilog="Examples: `calipso settings`, `calipso settings --changed`, `calipso settings --json`; exit status 78 "
        "when a setting is wrong",
    ),
    "users": Lazy("calipso.cli.users:app", "Add accounts and change what they may do."),
    "experiments": Lazy("calipso.cli.experiments:app", "Add, update and remove experiments."),
    "sessions": Lazy("calipso.cli.sessions:app", "Add sessions to experiments."),
    "members": Lazy("calipso.cli.members:app", "Let users reach the data of experiments."),
    "images": Lazy("calipso.cli.images:app", "Add, change and withdraw what may be launched."),
    "quotas": Lazy("calipso.cli.quotas:app", "Give users limits of their own."),
    "containers": Lazy(
        "calipso.cli.containers:app", "Look at containers, and end those that do not end by themselves."
    ),
    "targets": Lazy("calipso.cli.targets:app", "Look at targets, and take them out of service."),
    "deadletters": Lazy(
        "calipso.cli.deadletters:app", "Look at messages that were given up, and say what becomes of them."
    ),
    "checkpoint": Lazy(
        "calipso.cli.proving:app",
        "Checkpoints of the chain of events, to be kept where this system cannot reach them.",
    ),
    "events": Lazy("calipso.cli.events:app", "Documents of the events that are published, for other services."),
    "keys": Lazy("calipso.cli.keys:app", "Change the master keys, from which the passwords of containers derive."),
}

app = typer.Typer(
    name="calipso",
    cls=lazily(COMMANDS),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


@app.callback()
def calipso() -> None:
    """Remote desktops, notebooks and tools beside the experiment data of a research facility."""
