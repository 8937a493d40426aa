"""The verbs of `scripts/operate`, declared once: name, arguments, the service that runs each, what
its answer holds.

The command line, its help, docs/operators.md, the services and the runner of an environment on AWS
all read `VERBS`. A verb that a service runs is a row here and a function of that name in the
service's `operate.py`.
"""

from collections.abc import Mapping

from apps.operations import Argument, Verb

ADDRESS = Argument(name="address", kind="address", help="e-mail address of the user")
ROWS = Argument(name="ids", kind="number", help="ids of the rows", many=True, required=False)
LETTERS = Argument(
    name="ids", kind="id", help="ids as listed: topic:partition:offset", many=True, required=False
)
ROLE = Argument(
    name="role", kind="role", option=True, many=True, help="role of the user; may be repeated"
)
PATIENT_ID = Argument(
    name="patient_id",
    kind="id",
    option=True,
    required=False,
    help="record that a user with the role patient may see",
)
CLIENT_ID = Argument(name="client_id", kind="id", help="id of the client")
ALL = Argument(name="all", kind="flag", option=True, required=False, help="every row there is")
PAGE = (
    Argument(
        name="limit", kind="number", option=True, required=False, help="most users to show (10000)"
    ),
    Argument(
        name="after",
        kind="id",
        option=True,
        required=False,
        help="id of the last user shown before",
    ),
)
LIMIT = Argument(
    name="limit",
    kind="number",
    option=True,
    required=False,
    help="most rows to show, newest first (100)",
)
SERVICE = Argument(name="service", kind="word", help="name of the service")

VERBS: Mapping[str, Verb] = {
    verb.name: verb
    for verb in (
        Verb(name="status", summary="Shows what runs, where it listens and what is wrong with it."),
        Verb(
            name="sign-in",
            summary="Shows the URL and the accounts that can sign in.",
            secret=True,
        ),
        Verb(
            name="logs",
            summary="Shows the last lines of the services' logs.",
            arguments=(
                Argument(
                    name="service",
                    kind="word",
                    required=False,
                    help="name of the service; every service where none is named",
                ),
                Argument(
                    name="lines",
                    kind="number",
                    option=True,
                    required=False,
                    help="lines of each service (100)",
                ),
                Argument(
                    name="request_id",
                    kind="id",
                    option=True,
                    required=False,
                    help="only lines of this request",
                ),
            ),
        ),
        Verb(
            name="psql",
            summary="Opens psql on the service's database, or runs one statement.",
            places=("local",),
            secret=True,
            arguments=(
                SERVICE,
                Argument(
                    name="command",
                    option=True,
                    required=False,
                    help="statement to run; without one psql reads from the terminal",
                ),
            ),
        ),
        Verb(
            name="backup",
            summary="Backs the databases up into a new folder, with the keys that they need.",
            places=("local",),
            arguments=(Argument(name="directory", kind="path", help="folder to make"),),
        ),
        Verb(
            name="restore",
            summary="Puts a backup in place of the databases of a platform that does not run.",
            places=("local",),
            arguments=(Argument(name="directory", kind="path", help="folder of the backup"),),
        ),
        Verb(
            name="secrets list",
            summary="Lists the services' secrets and their versions, never a value.",
            places=("local",),
        ),
        Verb(
            name="secrets rotate",
            summary="Has the next start give every secret of the services a new value.",
            places=("local",),
        ),
        Verb(
            name="users list",
            summary="Lists the users, oldest first.",
            services=("auth",),
            secret=True,
            arguments=PAGE,
        ),
        Verb(
            name="users find",
            summary="Finds users by id, or by a part of their address or name.",
            services=("auth",),
            secret=True,
            arguments=(Argument(name="text", help="id, or part of the address or name"), *PAGE),
        ),
        Verb(
            name="users create",
            summary="Creates a user and shows a link, valid once and for a day, to set a password.",
            services=("auth",),
            secret=True,
            arguments=(
                ADDRESS,
                ROLE,
                Argument(name="name", option=True, required=False, help="name of the user"),
                PATIENT_ID,
            ),
        ),
        Verb(
            name="users first-admin",
            summary="Creates the first administrator and shows a link to set a password."
            " Refused if there is one.",
            services=("auth",),
            secret=True,
            arguments=(ADDRESS,),
        ),
        Verb(
            name="users reset",
            summary="Shows a link, valid once and for a day, where the user sets a new password.",
            services=("auth",),
            secret=True,
            arguments=(ADDRESS,),
        ),
        Verb(
            name="users unlock",
            summary="Lets a user try again who failed too often to sign in.",
            services=("auth",),
            arguments=(ADDRESS,),
        ),
        Verb(
            name="users roles",
            summary="Replaces the user's roles and ends the user's sessions and tokens.",
            services=("auth",),
            arguments=(ADDRESS, ROLE, PATIENT_ID),
        ),
        Verb(
            name="users disable",
            summary="Ends the user's sessions and tokens and refuses further sign-ins.",
            services=("auth",),
            arguments=(ADDRESS,),
        ),
        Verb(
            name="users enable",
            summary="Lets a disabled user sign in again.",
            services=("auth",),
            arguments=(ADDRESS,),
        ),
        Verb(
            name="users second-factor-off",
            summary="Removes the user's second factor, whose device was lost, and ends the "
            "sessions.",
            services=("auth",),
            arguments=(ADDRESS,),
        ),
        Verb(
            name="users sessions",
            summary="Lists the browsers in which the user is signed in.",
            services=("auth",),
            secret=True,
            arguments=(ADDRESS,),
        ),
        Verb(
            name="users sign-out",
            summary="Ends the user's sessions and tokens; the user may sign in again.",
            services=("auth",),
            arguments=(ADDRESS,),
        ),
        Verb(
            name="users delete",
            summary="Deletes the user for good; what the user did stays in the audit.",
            services=("auth",),
            arguments=(ADDRESS,),
        ),
        Verb(name="clients list", summary="Lists the clients.", services=("auth",), arguments=()),
        Verb(
            name="clients create",
            summary="Creates a client, with redirect URIs for people, without for itself."
            " Shows its secret once.",
            services=("auth",),
            secret=True,
            arguments=(
                Argument(name="name", help="name of the client"),
                Argument(
                    name="scope",
                    kind="scope",
                    option=True,
                    many=True,
                    help="scope that it may ask for; may be repeated",
                ),
                Argument(
                    name="redirect_uri",
                    kind="uri",
                    option=True,
                    many=True,
                    required=False,
                    help="where a person returns to; may be repeated",
                ),
                Argument(
                    name="public",
                    kind="flag",
                    option=True,
                    required=False,
                    help="without a secret: an application in a browser or on a phone",
                ),
            ),
        ),
        Verb(
            name="clients update",
            summary="Changes the client's name, scopes or redirect URIs; what is not given stays."
            " Narrowed scopes end its tokens.",
            services=("auth",),
            arguments=(
                CLIENT_ID,
                Argument(name="name", option=True, required=False, help="new name"),
                Argument(
                    name="scope",
                    kind="scope",
                    option=True,
                    many=True,
                    required=False,
                    help="scope that it may ask for, instead of those before; may be repeated",
                ),
                Argument(
                    name="redirect_uri",
                    kind="uri",
                    option=True,
                    many=True,
                    required=False,
                    help="where a person returns to, instead of those before; may be repeated",
                ),
            ),
        ),
        Verb(
            name="clients rotate-secret",
            summary="Gives the client a new secret, shown once; the old one ends,"
            " with --overlap after so many seconds.",
            services=("auth",),
            secret=True,
            arguments=(
                CLIENT_ID,
                Argument(
                    name="overlap",
                    kind="number",
                    option=True,
                    required=False,
                    help="seconds for which the old secret works on (0; at most 604800)",
                ),
            ),
        ),
        Verb(
            name="clients disable",
            summary="Ends the client's tokens and refuses it further ones.",
            services=("auth",),
            arguments=(CLIENT_ID,),
        ),
        Verb(
            name="clients enable",
            summary="Lets a disabled client get tokens again.",
            services=("auth",),
            arguments=(CLIENT_ID,),
        ),
        Verb(
            name="clients delete",
            summary="Deletes the client for good, with all that it holds; its audit stays.",
            services=("auth",),
            arguments=(CLIENT_ID,),
        ),
        Verb(name="keys list", summary="Lists the keys that sign tokens.", services=("auth",)),
        Verb(
            name="keys rotate",
            summary="Makes the next signing key; it signs once every service has learned of it.",
            services=("auth",),
        ),
        Verb(
            name="keys withdraw",
            summary="Replaces every signing key at once, after a leak; everybody signs in again.",
            services=("auth",),
        ),
        Verb(
            name="outbox list",
            summary="Lists the rows that a receiver refused, and why.",
            services=("patient", "billing"),
        ),
        Verb(
            name="outbox show",
            summary="Shows one row of the outbox and its event.",
            services=("patient", "billing"),
            secret=True,
            arguments=(Argument(name="id", kind="number", help="id of the row"),),
        ),
        Verb(
            name="outbox retry",
            summary="Sends refused rows again.",
            services=("patient", "billing"),
            arguments=(ROWS, ALL),
        ),
        Verb(
            name="outbox discard",
            summary="Deletes refused rows for good; later events of their patients are sent.",
            services=("patient", "billing"),
            arguments=(ROWS, ALL),
        ),
        Verb(
            name="dead-letters list",
            summary="Lists the events that could not be read, and why.",
            services=("analytics", "billing"),
        ),
        Verb(
            name="dead-letters show",
            summary="Shows one dead letter: headers, key and event.",
            services=("analytics", "billing"),
            secret=True,
            arguments=(
                Argument(name="id", kind="id", help="id as listed: topic:partition:offset"),
            ),
        ),
        Verb(
            name="dead-letters redrive",
            summary="Sends dead letters to their topic again; an event that was counted counts "
            "once.",
            services=("analytics", "billing"),
            arguments=(LETTERS, ALL),
        ),
        Verb(
            name="dead-letters discard",
            summary="Takes dead letters off the list for good.",
            services=("analytics", "billing"),
            arguments=(
                LETTERS,
                ALL,
                Argument(
                    name="reason", option=True, required=False, help="why, kept with the letters"
                ),
            ),
        ),
        Verb(
            name="figures lag",
            summary="Shows how far the figures, or the charges, are behind the topics, by "
            "partition.",
            services=("analytics", "billing"),
        ),
        Verb(
            name="figures rebuild",
            summary="Makes the figures anew from the whole topic, in one transaction.",
            services=("analytics",),
            long=True,
        ),
        Verb(
            name="index rebuild",
            summary="Has the patient service index every resource anew, while it serves;"
            " shows how many wait for it.",
            services=("patient",),
        ),
        Verb(
            name="index status",
            summary="Shows how many resources wait to be indexed anew.",
            services=("patient",),
        ),
        Verb(
            name="reconcile",
            summary="Checks the books of billing, and that every event came through: in patient "
            "all is told,"
            " in billing every patient has an account and every service a charge, in analytics "
            "every event counts once."
            " Names each difference.",
            services=("billing", "patient", "analytics"),
            long=True,
            everywhere=True,
        ),
        Verb(
            name="audit search",
            summary="Searches the audit log: in auth sign-ins and changes of accounts,"
            " in patient reads and changes of records, in billing changes of accounts.",
            services=("auth", "patient", "billing"),
            secret=True,
            arguments=(
                Argument(
                    name="actor",
                    option=True,
                    required=False,
                    help="id of the user or client who acted",
                ),
                Argument(
                    name="subject",
                    option=True,
                    required=False,
                    help="id of the user, client or patient that it was about",
                ),
                Argument(
                    name="client",
                    option=True,
                    required=False,
                    help="id of the client, also where a user acted through it",
                ),
                Argument(
                    name="event", kind="text", option=True, required=False, help="what happened"
                ),
                Argument(
                    name="outcome",
                    option=True,
                    required=False,
                    choices=("success", "failure"),
                    help="success or failure; the record and billing keep what succeeded",
                ),
                Argument(
                    name="since",
                    kind="time",
                    option=True,
                    required=False,
                    help="first time, such as 2026-01-31 or 2026-01-31T08:00Z",
                ),
                Argument(name="until", kind="time", option=True, required=False, help="last time"),
                LIMIT,
            ),
        ),
    )
}
