"""The root of the command line."""

import typer

from calipso.cli import (
    as_of,
    backups,
    containers,
    deadletters,
    effective_settings,
    erasing,
    events,
    experiments,
    explain,
    exporting,
    history,
    identities,
    images,
    keys,
    members,
    processes,
    proving,
    quotas,
    rebuilding,
    restoring,
    serve,
    sessions,
    synchronizing,
    targets,
    unknown,
    usage,
    users,
    what_if,
)

app = typer.Typer(
    name="calipso",
    help="Remote desktops, notebooks and tools beside the experiment data of a research facility.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.command()(serve.serve)
app.command()(processes.api)
app.command()(processes.project)
app.command()(processes.relay)
app.command()(processes.provision)
app.command()(processes.migrate)
app.command()(explain.explain)
app.command(epilog="Examples: `calipso backup`, `calipso backup /backups/today.zip`")(backups.backup)
app.command(epilog="Examples: `calipso restore FILE --check`, `calipso restore FILE --data /srv/calipso`")(
    restoring.restore
)
app.command()(processes.republish)
app.command(
    epilog="Examples: `calipso history --user ada --since 2026-11-20`, `calipso history --container calipso-22...`, "
    "`calipso history --kind container --format csv > containers.csv`"
)(history.history)
app.command(
    epilog="Examples: `calipso rebuild containers`, `calipso rebuild --all --check`, "
    "`calipso rebuild --all --until 2026-11-20T14:03:00Z --into postgresql://localhost/scratch`",
)(rebuilding.rebuild)
app.command(
    epilog="Examples: `calipso verify`, `calipso verify --from 100000`, "
    "`calipso verify --checkpoint calipso.checkpoint --public-key calipso.pem`",
)(proving.verify)
app.command(
    epilog="Examples: `calipso usage --by user,day`, "
    "`calipso usage --since 2026-10-01 --until 2026-11-01 --by experiment --format csv`"
)(usage.usage)
app.command(
    "what-if",
    epilog="Examples: `calipso what-if --quota cpu=4 --quota memory=8G --since 2026-10-01`, "
    "`calipso what-if --without-image old-desktop --report users`",
)(what_if.what_if_)
app.command(
    "as-of",
    epilog="Examples: `calipso as-of 2026-11-20T14:03:00Z containers ada`, "
    "`calipso as-of 2026-11-20T14:03:00Z who-could /tmp/data/p1`",
)(as_of.as_of)
app.command(
    "settings",
    epilog="Examples: `calipso settings`, `calipso settings --changed`, `calipso settings --json`; exit status 78 when "
    "a setting is wrong",
)(effective_settings.settings_)
users.app.command(epilog="Example: `calipso users link ada --issuer user-office --subject ada`")(identities.link)
users.app.command(epilog="Example: `calipso users unlink ada --issuer user-office --subject ada`")(identities.unlink)
users.app.command(
    "erase",
    epilog="Examples: `calipso users erase ada`, `calipso users erase --expired --yes` (for cron)",
)(erasing.erase_)
users.app.command(epilog="Example: `calipso users release ada`")(erasing.release)
users.app.command(epilog="Example: `calipso users export ada --output ada.json`")(exporting.export)
app.add_typer(users.app, name="users")
experiments.app.command(epilog="Example: `calipso experiments synchronize --all`")(synchronizing.synchronize)
app.add_typer(experiments.app, name="experiments")
app.add_typer(sessions.app, name="sessions")
app.add_typer(members.app, name="members")
app.add_typer(images.app, name="images")
app.add_typer(quotas.app, name="quotas")
app.add_typer(containers.app, name="containers")
targets.app.command(
    epilog="Examples: `calipso targets unknown docker-a`, then `calipso targets unknown docker-a --remove`"
)(unknown.unknown)
app.add_typer(targets.app, name="targets")
app.add_typer(deadletters.app, name="deadletters")
app.add_typer(proving.app, name="checkpoint")
app.add_typer(events.app, name="events")
app.add_typer(keys.app, name="keys")
