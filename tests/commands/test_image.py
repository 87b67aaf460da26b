from dataclasses import replace

import pytest
from tests.commands.scenario import DESKTOP, DESKTOP_ADDED, LINK, SPEC, given

from calipso.commands.image import AddImage, ChangeImage, WithdrawImage
from calipso.errors import AlreadyExists, Invalid, NotFound
from calipso.events.image import ImageAdded, ImageChanged, ImageWithdrawn
from calipso.events.values import ImageSpec, Protocol, Resources, Runtime

POD = replace(SPEC, runtime=Runtime.KUBERNETES)
add = AddImage(image_id=DESKTOP, name="desktop", spec=SPEC)
change = ChangeImage(image_id=DESKTOP, name="desktop", spec=LINK)
withdraw = WithdrawImage(image_id=DESKTOP, name="desktop")
changed = ImageChanged(image_id=DESKTOP, spec=LINK)
withdrawn = ImageWithdrawn(image_id=DESKTOP)


def test_an_image_is_added_once() -> None:
    given().when(add).then(DESKTOP_ADDED)
    given(DESKTOP_ADDED).when(add).then_error(AlreadyExists("image", "desktop"))


def test_an_image_is_changed() -> None:
    given(DESKTOP_ADDED).when(change).then(changed)
    given(DESKTOP_ADDED, changed).when(change).then()


def test_an_image_is_withdrawn_and_may_come_back() -> None:
    given(DESKTOP_ADDED).when(withdraw).then(withdrawn)
    given(DESKTOP_ADDED, withdrawn).when(replace(add, spec=LINK)).then(
        ImageAdded(image_id=DESKTOP, name="desktop", spec=LINK)
    )


@pytest.mark.parametrize("command", [change, withdraw])
def test_an_image_that_is_not_there(command: object) -> None:
    given().when(command).then_error(NotFound("image", "desktop"))
    given(DESKTOP_ADDED, withdrawn).when(command).then_error(NotFound("image", "desktop"))


@pytest.mark.parametrize(
    ("field", "spec"),
    [
        ("image", replace(SPEC, reference="")),
        ("image", replace(SPEC, reference="x" * 2001)),
        ("image", replace(SPEC, reference="a\nb")),
        ("image", replace(LINK, reference="javascript:alert(1)")),
        ("image", replace(LINK, reference="wiki.example")),
        ("cpu, memory, hdd", replace(SPEC, resources=Resources(millicores=-1))),
        ("cpu, memory, hdd", replace(SPEC, resources=Resources(memory=-1))),
        ("cpu, memory, hdd", replace(SPEC, resources=Resources(disk=-1))),
        ("port_hook", replace(SPEC, port_hook="5901")),
        ("port_hook", replace(SPEC, port_hook="5901/tcp; rm")),
        ("port_hook", replace(SPEC, port_hook="123456/tcp")),
        ("logs_er", replace(SPEC, logs_er="(")),
        ("logs_er", replace(SPEC, logs_er="x" * 2001)),
        ("logs_er", replace(SPEC, logs_er="\0")),
        ("targets", replace(SPEC, targets=("docker-a", "docker-z"))),
        ("targets", replace(SPEC, targets=("links",))),
        ("node_selector, tolerations", replace(SPEC, node_selector={"gpu": "yes"})),
        ("node_selector, tolerations", replace(SPEC, tolerations=("gpu=yes:NoSchedule",))),
        ("node_selector", replace(POD, node_selector={"gpu": "yes please"})),
        ("node_selector", replace(POD, node_selector={"": "yes"})),
        ("tolerations", replace(POD, tolerations=("gpu=yes:Sometimes",))),
        ("tolerations", replace(POD, tolerations=("",))),
        ("parameters", replace(SPEC, parameters={"color-dept": "16"})),
        ("parameters", replace(SPEC, parameters={"password": "x"})),
        ("parameters", replace(SPEC, parameters={"hostname": "elsewhere"})),
        ("parameters", replace(SPEC, parameters={"enable-sftp": "true"})),
        ("parameters", replace(LINK, parameters={"read-only": "true"})),
        ("parameters.color-depth", replace(SPEC, parameters={"color-depth": "17"})),
        ("parameters.read-only", replace(SPEC, parameters={"read-only": "yes"})),
        ("parameters.autoretry", replace(SPEC, parameters={"autoretry": "-1"})),
        ("parameters.encodings", replace(SPEC, parameters={"encodings": ""})),
        ("parameters.encodings", replace(SPEC, parameters={"encodings": "a\nb"})),
        ("parameters.encodings", replace(SPEC, parameters={"encodings": "x" * 2001})),
    ],
)
def test_what_an_image_may_not_say(field: str, spec: ImageSpec) -> None:
    given().when(replace(add, spec=spec)).then_raises(Invalid, field=field)
    given(DESKTOP_ADDED).when(replace(change, spec=spec)).then_raises(Invalid, field=field)


def test_a_parameter_that_is_nearly_right_is_named() -> None:
    wrong = replace(add, spec=replace(SPEC, parameters={"color-dept": "16"}))
    given().when(wrong).then_error(
        Invalid("parameters", "'color-dept' cannot be set for vnc; did you mean color-depth?")
    )


@pytest.mark.parametrize("name", ["", "a/b", "x" * 2001, "a\nb", "\udce9"])
def test_what_an_image_may_not_be_called(name: str) -> None:
    given().when(replace(add, name=name)).then_raises(Invalid, field="public_name")


@pytest.mark.parametrize(
    "spec",
    [
        replace(SPEC, port_hook="5901/tcp", logs_er=r"ready|token=\w+", targets=("docker-b",)),
        replace(SPEC, resources=Resources()),
        replace(LINK, reference="http://10.0.0.1:8080/x?y=z"),
        replace(SPEC, parameters={"color-depth": "16", "read-only": "false", "encodings": "tight zrle"}),
        replace(SPEC, protocol=Protocol.SSH, parameters={"enable-sftp": "true", "sftp-root-directory": "/data"}),
        replace(SPEC, protocol=Protocol.RDP, parameters={"security": "nla", "resize-method": "reconnect"}),
        replace(POD, node_selector={"example.org/gpu": "a100", "fast": ""}),
        replace(POD, tolerations=("gpu=yes:NoSchedule", "gpu", "example.org/slow:NoExecute", "x=")),
    ],
)
def test_what_an_image_may_say(spec: ImageSpec) -> None:
    given().when(replace(add, spec=spec)).then(ImageAdded(image_id=DESKTOP, name="desktop", spec=spec))
