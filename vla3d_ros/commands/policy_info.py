"""`vla3d policy info`: packages in words and numbers."""

from __future__ import annotations

import argparse

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vla3d_ros.commands.policy_packages import chosen_folders
from vla3d_ros.errors import DependencyError, PackageError
from vla3d_ros.policy.manifest import CUSTOM_ROUTE, Manifest
from vla3d_ros.policy.nets.config import PolicyConfig
from vla3d_ros.policy.package import PolicyPackage, load_package


def describe_policies(options: argparse.Namespace, console: Console) -> int:
    """Print a table of facts for each package.

    Returns:
        0 if all could be read, else 1.
    """
    broken = []
    for folder in chosen_folders(options.packages):
        try:
            package = load_package(folder)
        except PackageError as error:
            broken.append(str(error))
            continue
        table = Table(box=None, show_header=False, pad_edge=False, title_justify="left")
        table.add_column(style="bold")
        table.add_column(overflow="fold")
        for key, value in {**_facts(package), **_parameters(package.manifest)}.items():
            table.add_row(key, escape(value))
        console.print(f"[bold]{package.manifest.name}[/]: {escape(package.manifest.title)}")
        console.print(table)
        console.print()
    for message in broken:
        console.print(f"[red]{escape(message)}[/]", soft_wrap=True)
    return 1 if broken else 0


def _facts(package: PolicyPackage) -> dict[str, str]:
    manifest = package.manifest
    view, actions = manifest.views[0], manifest.actions
    needs = [f"depth {view.depth}"] * (view.depth != "unused") + ["K"] * view.uses_intrinsics
    needs += ["camera poses"] * view.uses_extrinsics
    tolerances = [
        f"{precision}: {t.position_mm:g} mm, {t.rotation_deg:g}°, {t.gripper:g} of the stroke"
        for precision, t in manifest.tolerances.items()
    ]
    return {
        "route": manifest.route,
        "trained": "yes" if manifest.is_trained else "no",
        "views": ", ".join(spec.name for spec in manifest.views),
        "view size": f"{view.width_px} x {view.height_px} px, {view.fit}",
        "uses": ", ".join(["colour", *needs, *(["a prompt picture"] if manifest.uses_prompt else [])]),
        "arm slots": ", ".join(manifest.arm_slots),
        "embodiments": ", ".join(f"{spec.name} ({'+'.join(map(str, spec.joints))})" for spec in manifest.embodiments),
        "chunk": f"{actions.steps} steps of {actions.dt_ns / 1e6:.2f} ms; {manifest.flow_steps} flow steps",
        "instruction": f"{manifest.text.kind}, at most {manifest.text.length} words",
        "real-time chunking": manifest.rtc.kind,
        "tolerances": "\n".join(tolerances),
        "licence": manifest.licence,
        **manifest.provenance,
        "files": "\n".join(f"{entry.path}: {entry.size / 1e3:,.0f} kB" for entry in manifest.files),
        "sha256": package.sha256,
    }


def _parameters(manifest: Manifest) -> dict[str, str]:
    """Return the parameters per module of one of this program's networks, if torch is there to build its shapes."""
    if manifest.route == CUSTOM_ROUTE:
        return {}
    try:
        from vla3d_ros.policy.nets.parameters import parameter_table, shapes_only
    except DependencyError:
        return {"parameters": "install torch to see them per module"}
    table = parameter_table(shapes_only(PolicyConfig.from_mapping(manifest.config)))
    rows = [*table.items(), ("all", sum(table.values()))]
    return {"parameters": "\n".join(f"{name}: {count:,}" for name, count in rows)}
