"""`vla3d policy ...`: the command line; the work is in the files beside this one."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `policy` and what it can do."""
    policy = verbs.add_parser("policy", help="export, check, measure and describe policy packages")
    what = policy.add_subparsers(required=True, metavar="WHAT")
    _add_export(what)
    _add_check(what)
    _add_bench(what)
    _add_build(what)
    info = what.add_parser("info", help="what packages see, know and give, and how large they are")
    info.add_argument("packages", nargs="*", metavar="PACKAGE", help="names in models/, or folders; default: all")
    info.set_defaults(run=_info)


def _add_export(what: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    export = what.add_parser("export", help="write an untrained network as a package, for timing and tests")
    export.add_argument("preset", help="named size and route, e.g. tiny_vla3d; a wrong one lists them")
    export.add_argument("--out", type=Path, required=True, metavar="DIR", help="the package's folder, e.g. models/mine")
    export.add_argument("--seed", type=int, default=0, help="of the weights; default: %(default)s")
    export.add_argument("--views", type=_names, default=None, help="names instead of the preset's, e.g. head,wrist")
    export.add_argument("--robots", type=_names, default=None, help="robots it is for; default: all in config/robots")
    export.add_argument("--weights", action="store_true", help="keep the weights as safetensors, too")
    export.set_defaults(run=_export)


def _add_check(what: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    check = what.add_parser("check", help="are packages what they claim, and does this machine compute the same?")
    check.add_argument("packages", nargs="*", metavar="PACKAGE", help="names in models/, or folders; default: all")
    _add_engine(check)
    check.add_argument("--deployment", default=None, help="does it fit this rig and robot, with --settings?")
    check.add_argument(
        "--settings", default=None, metavar="NAME", help="settings in config/policies, with --deployment"
    )
    check.add_argument("--json", type=Path, default=None, metavar="FILE", help="write the differences as JSON")
    check.set_defaults(run=_check)


def _add_bench(what: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    bench = what.add_parser("bench", help="time a package per stage and end to end, beside torch")
    bench.add_argument("--package", required=True, help="name in models/, or a folder")
    bench.add_argument("--runs", type=int, default=200, help="default: %(default)s")
    bench.add_argument("--flow-steps", type=int, default=None, help="default: the package's")
    bench.add_argument("--no-torch", action="store_true", help="do not measure torch beside it")
    _add_engine(bench)
    bench.add_argument("--json", type=Path, default=None, metavar="FILE", help="write the figures as JSON")
    bench.set_defaults(run=_bench)


def _add_build(what: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    build = what.add_parser("build", help="build TensorRT engines ahead; with tensorrt_rtx even without a GPU")
    build.add_argument("packages", nargs="*", metavar="PACKAGE", help="names in models/, or folders; default: all")
    _add_engine(build)
    build.add_argument("--keep", type=_names, default=(), help="patterns of nodes or modules that stay float32")
    build.add_argument("--show-kept", action="store_true", help="list what stays float32, and why")
    build.add_argument("--json", type=Path, default=None, metavar="FILE", help="write the figures as JSON")
    build.set_defaults(run=_build)


def _add_engine(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--engine", default="onnxruntime", help="onnxruntime, tensorrt or tensorrt_rtx; default: %(default)s"
    )
    verb.add_argument("--providers", type=_names, default=("cpu",), help="of ONNX Runtime, in order; default: cpu")
    verb.add_argument("--precision", default="fp32", help="fp32, fp16 or bf16; default: %(default)s")
    verb.add_argument("--threads", type=int, default=2, help="of an operator on a CPU; default: %(default)s")
    verb.add_argument("--spinning", action="store_true", help="let idle threads spin: only alone on a machine")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _export(options: argparse.Namespace, console: Console) -> int:
    from vla3d_ros.commands.policy_export import export_policy

    return export_policy(options, console)


def _check(options: argparse.Namespace, console: Console) -> int:
    from vla3d_ros.commands.policy_check import check_policies

    return check_policies(options, console)


def _bench(options: argparse.Namespace, console: Console) -> int:
    from vla3d_ros.commands.policy_bench import bench_policy

    return bench_policy(options, console)


def _build(options: argparse.Namespace, console: Console) -> int:
    from vla3d_ros.commands.policy_build import build_engines

    return build_engines(options, console)


def _info(options: argparse.Namespace, console: Console) -> int:
    from vla3d_ros.commands.policy_info import describe_policies

    return describe_policies(options, console)
