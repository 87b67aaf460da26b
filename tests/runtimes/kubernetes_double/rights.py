"""Who somebody is by their token, and what they may do by the roles of a namespace."""

from secrets import token_urlsafe

from tests.runtimes.kubernetes_double.resources import BINDINGS, ROLES, Asked, Resource
from tests.runtimes.kubernetes_double.status import Json, forbidden, unauthorized
from tests.runtimes.kubernetes_double.store import Store

_ADMINISTRATOR = "kubernetes-admin"


class Rights:
    """The tokens that were given, and the rights of their accounts; `used` holds what others than we have asked for."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.token = token_urlsafe(16)
        self._accounts = {self.token: _ADMINISTRATOR}
        self.used: set[tuple[str, str]] = set()

    def renew(self) -> None:
        """Give the administrator another token, and know the one before no more."""
        del self._accounts[self.token]
        self.token = token_urlsafe(16)
        self._accounts[self.token] = _ADMINISTRATOR

    def give(self, namespace: str, account: str) -> str:
        """A new token of an account."""
        token = token_urlsafe(16)
        self._accounts[token] = f"system:serviceaccount:{namespace}:{account}"
        return token

    def account(self, header: str) -> str:
        """Who sends such an `Authorization` header."""
        kind, _, token = header.partition(" ")
        if kind != "Bearer" or token not in self._accounts:
            raise unauthorized()
        return self._accounts[token]

    def check(self, account: str, asked: Asked) -> None:
        """Refuse what an account may not do."""
        of = asked.of
        what = f"{of.plural}/{asked.part}" if asked.part else of.plural
        if account != _ADMINISTRATOR:
            self.used.add((what, asked.verb))
        rules = self._rules(account, asked.namespace)
        if account == _ADMINISTRATOR or any(_allows(rule, asked.verb, of, what) for rule in rules):
            return
        told = f'User "{account}" cannot {asked.verb} resource "{what}" in API group "{of.group}"'
        raise forbidden(of.plural, asked.name, f'{told} in the namespace "{asked.namespace}"', of.group)

    def _rules(self, account: str, namespace: str) -> list[Json]:
        return [
            rule
            for binding in self._store.items(BINDINGS, namespace)
            if account in {_of_subject(subject, namespace) for subject in binding.get("subjects") or ()}
            if (role := self._store.find(ROLES, namespace, binding["roleRef"]["name"])) is not None
            for rule in role["rules"]
        ]


def _of_subject(subject: Json, namespace: str) -> str:
    return f"system:serviceaccount:{subject.get('namespace', namespace)}:{subject['name']}"


def _allows(rule: Json, verb: str, of: Resource, what: str) -> bool:
    return verb in rule["verbs"] and of.group in rule["apiGroups"] and what in rule["resources"]
