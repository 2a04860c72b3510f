"""A package is what its manifest says, or it is refused with the fault's name, all faults at once."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip("onnx", reason="the stand-in package is written with onnx")
pytest.importorskip("onnxruntime", reason="its golden cases are computed with ONNX Runtime")

import onnx
from standin_package import context_model, standin_manifest, step_model, write_standin

from vla3d_ros.errors import PackageError
from vla3d_ros.policy import manifest as m
from vla3d_ros.policy.manifest_file import manifest_text, read_manifest
from vla3d_ros.policy.package import find_package, load_package, write_package
from vla3d_ros.policy.package_files import list_files


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    return write_standin(tmp_path_factory.mktemp("models") / "standin").folder


@pytest.fixture
def package(sound, tmp_path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "standin"))


def rewrite(package: Path, change) -> None:
    """Change the manifest's content in place."""
    content = yaml.safe_load((package / "manifest.yaml").read_text())
    change(content)
    (package / "manifest.yaml").write_text(yaml.safe_dump(content))


def relist(package: Path) -> None:
    """Make the manifest list the files as they are now, as somebody would who knows how."""
    files = {entry.path: {"sha256": entry.sha256, "size": entry.size} for entry in list_files(package)}
    rewrite(package, lambda content: content.update(files=files))


def set_at(*keys, value):
    def change(content):
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = value

    return change


def test_a_sound_package_loads_and_its_manifest_survives_the_round_trip(package):
    loaded = load_package(package).manifest
    problems: list[str] = []
    again = read_manifest(yaml.safe_load(manifest_text(loaded)), problems)
    assert not problems
    assert manifest_text(again) == manifest_text(loaded)


NUMBERS = {
    "unknown schema": (set_at("schema", value="vla3d-policy-package/9"), "unknown schema"),
    "unknown key": (set_at("colour", value="red"), "unknown key 'colour'"),
    "unknown route": (set_at("route", value="magic"), "'route' is magic"),
    "nan statistics": (set_at("embodiments", 0, "state_mean", 0, 2, value=float("nan")), "not finite at"),
    "zero spread": (set_at("actions", "std", 0, 3, value=0.0), "expected more than 0 everywhere"),
    "too many joints": (set_at("embodiments", 0, "joints", value=[9, 0]), "has joints [9, 0]"),
    "two view sizes": (set_at("views", 0, "width_px", value=32), "one size for all"),
    "no fp32 tolerance": (set_at("tolerances", value={"int3": {}}), "expected fp32"),
    "untrained in secret": (set_at("title", value="The best policy"), "does not say 'untrained'"),
    "wrong name": (set_at("name", value="other"), "the folder is 'standin'"),
    "wrong chunk length": (set_at("actions", "steps", value=9), "takes 'x' as float32 [1, 8, 20]"),
    "wrong words": (set_at("text", "length", value=9), "takes 'text_tokens' as int64 [1, 8]"),
    "depth not in graph": (set_at("views", 0, "depth", value="optional"), "lacks inputs ['depth_m']"),
    "prompt not in graph": (set_at("uses_prompt", value=True), "lacks inputs ['prompt_image']"),
    "view too many": (lambda c: c["views"].append(dict(c["views"][0], name="side")), "takes 'images' as uint8"),
    "view twice": (lambda c: c["views"].append(c["views"][0]), "'head' is there twice"),
    "no guidance in manifest": (set_at("rtc", "kind", value="none"), "takes 'previous', which nobody gives it"),
    "prefix without length": (set_at("rtc", "kind", value="prefix"), "'max_prefix_steps' is 0"),
    "embodiment of golden": (set_at("embodiments", 0, "name", value="none"), "is of embodiment 'one_arm'"),
    "own route without config": (set_at("route", value="trunk"), "config: policy config"),
}


@pytest.mark.parametrize("fault", NUMBERS)
def test_a_wrong_manifest_is_refused_by_name(package, fault):
    change, message = NUMBERS[fault]
    rewrite(package, change)
    with pytest.raises(PackageError) as caught:
        load_package(package)
    assert message in str(caught.value)


def missing(package):
    (package / "step.onnx").unlink()


def flipped_byte(package):
    data = bytearray((package / "context.onnx").read_bytes())
    data[-20] ^= 1
    (package / "context.onnx").write_bytes(bytes(data))


def truncated(package):
    data = (package / "context.onnx").read_bytes()
    (package / "context.onnx").write_bytes(data[: len(data) // 2])


def truncated_and_relisted(package):
    truncated(package)
    relist(package)


def unlisted(package):
    (package / "extra.txt").write_text("hello")


def pickled(package):
    (package / "weights.pt").write_bytes(b"\x80\x04.")
    relist(package)


def outside(package):
    (package.parent / "secret.txt").write_text("secret")
    rewrite(package, lambda c: c["files"].update({"../secret.txt": {"sha256": "0", "size": 6}}))


def absolute(package):
    rewrite(package, lambda c: c["files"].update({"/etc/hostname.txt": {"sha256": "0", "size": 6}}))


def symbolic_link(package):
    (package.parent / "step.onnx").write_bytes((package / "step.onnx").read_bytes())
    (package / "step.onnx").unlink()
    (package / "step.onnx").symlink_to(package.parent / "step.onnx")


def no_golden(package):
    shutil.rmtree(package / "golden")
    relist(package)


def pickled_golden(package):
    np.savez(package / "golden" / "000.npz", stamp_ns=np.array([{}], dtype=object))
    relist(package)


def external_weights(package):
    model = onnx.load(package / "context.onnx")
    onnx.save(model, package / "context.onnx", save_as_external_data=True, location="weights.txt", size_threshold=0)
    relist(package)


def no_card(package):
    (package / "README.md").unlink()
    relist(package)


FILES = {
    missing: "'step.onnx' is missing",
    flipped_byte: "has checksum",
    truncated: "the manifest says",
    truncated_and_relisted: "is not an ONNX model",
    unlisted: "'extra.txt' is in the folder, but not in the manifest",
    pickled: "has suffix '.pt'",
    outside: "does not name a file inside the package",
    absolute: "does not name a file inside the package",
    symbolic_link: "symbolic link",
    no_golden: "no golden observation",
    pickled_golden: "golden case 000.npz can not be read",
    external_weights: "keeps weights in other files",
    no_card: "'README.md' is not listed",
}


@pytest.mark.parametrize("fault", FILES, ids=lambda fault: fault.__name__)
def test_wrong_files_are_refused_by_name(package, fault):
    fault(package)
    with pytest.raises(PackageError) as caught:
        load_package(package)
    assert FILES[fault] in str(caught.value)


def test_all_faults_are_reported_at_once(package):
    unlisted(package)
    flipped_byte(package)
    rewrite(package, lambda c: (c["actions"].update(dt_ns=0), c.update(colour="red")))
    with pytest.raises(PackageError) as caught:
        load_package(package)
    for part in ("extra.txt", "has checksum", "'dt_ns' is 0", "unknown key 'colour'"):
        assert part in str(caught.value)


def test_an_output_nobody_takes_is_refused(sound, tmp_path):
    folder = tmp_path / "standin"
    folder.mkdir()
    manifest = standin_manifest(name="standin")
    model = context_model(manifest)
    model.graph.output.append(onnx.helper.make_tensor_value_info("mixed", onnx.TensorProto.FLOAT, [1, 20]))
    onnx.save(model, folder / "context.onnx")
    onnx.save(step_model(manifest), folder / "step.onnx")
    with pytest.raises(PackageError, match=r"gives \['mixed'\]"):
        write_package(folder, manifest, load_package(sound).golden(), "card")


def test_a_package_without_guidance_needs_no_guidance_inputs(sound, tmp_path):
    manifest = replace(standin_manifest(name="standin"), rtc=m.RtcSpec(kind="none"))
    with pytest.raises(PackageError, match="previous"):
        write_package(Path(shutil.copytree(sound, tmp_path / "standin")), manifest, (), "card")


def test_an_unknown_package_is_refused_with_what_there_is(sound):
    with pytest.raises(PackageError, match=r"no policy package 'x': expected one of \['standin'\]"):
        find_package("x", sound.parent)
    assert find_package("standin", sound.parent) == sound
