"""``holdfast bundle``: what a vendor and a receiver do with a stick, without site or network.

Every verb prints text for people or, with ``--json``, one object. ``verify`` prints its own object
and ends with exit code 4 where the stick is not as signed; every other failure is raised for the
command line's main to print.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from holdfast_protocol import ids
from holdfast_protocol.codec import encode
from holdfast_protocol.errors import TABLE, Code, HoldfastError
from holdfast_protocol.limits import MIB, ROOT_BYTES

from holdfast_bundles.blobs import Progress, quiet
from holdfast_bundles.logic.names import Release
from holdfast_bundles.vendor import build as building
from holdfast_bundles.vendor import inspect as inspecting
from holdfast_bundles.vendor import keys as vendor_keys
from holdfast_bundles.vendor import sign as signing
from holdfast_bundles.vendor import verify as verifying
from holdfast_bundles.vendor.inspect import Inspection, ModelLine

app = typer.Typer(
    name="bundle",
    help="Signed bundles on a stick: keys, build, sign, verify, inspect.",
    no_args_is_help=True,
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


class _Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of ``verify``; ``code`` and ``file`` are null where all is well."""

    ok: bool
    code: str | None
    file: str | None
    signers: list[str]
    message: str
    next: str | None = None
    vendor: str | None = None
    models: list[str] = []
    unchecked_vendors: list[str] = []
    absent: list[str] = []


@app.command()
def keys(
    vendor: Annotated[str, typer.Option(help="The vendor's name, as in VENDOR/MODEL.")],
    out: Annotated[Path, typer.Option(help="A folder for the keys; made, mode 0700.")],
    as_json: Json = False,
) -> None:
    """Make a vendor's signing keys and its TUF root, of which two of three keys sign."""
    root = vendor_keys.create(out, vendor, datetime.now(UTC))
    _print(
        as_json,
        {"vendor": vendor, "root": str(root)},
        f"Keys of {vendor} are in {out}. Give {root} to those who shall trust you, "
        "and keep root-*.pem in a safe.",
    )


@app.command()
def build(
    model_dir: Annotated[Path, typer.Argument(help="A folder with one GGUF file.")],
    name: Annotated[str, typer.Option(help="VENDOR/MODEL.")],
    version: Annotated[str, typer.Option(help="The version, for example 1.0.")],
    license: Annotated[  # noqa: A002  the option's name is the command contract
        str, typer.Option(help="An SPDX expression, for example Apache-2.0.")
    ],
    out: Annotated[Path, typer.Option(help="The stick, or a folder that becomes one.")],
    parent: Annotated[
        list[str] | None, typer.Option(help="Digest of the manifest it was made from.")
    ] = None,
    probe: Annotated[
        list[Path] | None, typer.Option(help="Golden probes (JSON list) to sign with it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Put a model on a stick: blobs, bill of materials, manifest. Nothing is signed yet."""
    source = building.Source(
        model_dir,
        Release(ids.model_name(name), ids.version(version)),
        license,
        tuple(parent or ()),
        tuple(probe or ()),
    )
    built = building.build(source, out, tell=_bar("Building"))
    skipped = f" Left out: {', '.join(built.skipped)}." if built.skipped else ""
    _print(
        as_json,
        {
            "name": built.release.name,
            "version": built.release.version,
            "digest": built.manifest_digest,
            "size_bytes": built.size_bytes,
            "skipped": built.skipped,
        },
        f"{name}@{version} is on {out} as {built.manifest_digest}; it is not signed yet.{skipped}",
    )


@app.command()
def sign(
    stick: Annotated[Path, typer.Argument(help="The stick.")],
    keys: Annotated[Path, typer.Option(help="The folder that `bundle keys` made.")],
    as_json: Json = False,
) -> None:
    """Sign the models of the keys' vendor that lie on a stick."""
    signed = signing.sign(stick, keys, datetime.now(UTC))
    _print(
        as_json,
        {"vendor": signed.vendor, "version": signed.version, "targets": signed.targets},
        f"{signed.vendor} signed {len(signed.targets)} model(s) on {stick}, "
        f"metadata version {signed.version}.",
    )


@app.command()
def verify(
    stick: Annotated[Path, typer.Argument(help="The stick.")],
    root: Annotated[Path, typer.Option(help="The vendor's root that you trust.")],
    as_json: Json = False,
) -> None:
    """Tell whether a stick is what its vendor signed, reading every byte of it."""
    verdict = _verdict(stick, root)
    sentence = verdict.message if verdict.next is None else f"{verdict.message} {verdict.next}"
    _print(as_json, msgspec.to_builtins(verdict), sentence)
    if not verdict.ok:
        raise typer.Exit(4)


@app.command()
def inspect(
    stick: Annotated[Path, typer.Argument(help="The stick.")],
    root: Annotated[Path | None, typer.Option(help="The vendor's root; verifies first.")] = None,
    as_json: Json = False,
) -> None:
    """Show what a stick holds; without a root nothing of it is proven."""
    data = _read_root(root) if root is not None else None
    found = inspecting.inspect_stick(stick, data, datetime.now(UTC))
    _print(as_json, msgspec.to_builtins(found), _describe(found))


def _verdict(stick: Path, root: Path) -> _Verdict:
    try:
        found = verifying.verify_stick(
            stick, _read_root(root), datetime.now(UTC), _bar("Verifying")
        )
    except HoldfastError as error:
        if TABLE[error.code].exit_code == 2:
            raise
        return _Verdict(
            ok=False,
            code=error.code.value,
            file=error.file,
            signers=[],
            message=error.message,
            next=error.next,
        )
    names = [
        f"{model.signed.release.name}@{model.signed.release.version}" for model in found.models
    ]
    return _Verdict(
        ok=True,
        code=None,
        file=None,
        signers=found.signers,
        message=f"The stick holds {', '.join(names)} as {found.vendor} signed it.",
        vendor=found.vendor,
        models=names,
        unchecked_vendors=found.unchecked_vendors,
        absent=found.absent,
    )


def _read_root(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(ROOT_BYTES + 1)
    except OSError as error:
        raise HoldfastError(Code.NOT_FOUND, f"The root {path} cannot be read.") from error


def _describe(found: Inspection) -> str:
    head = "Verified." if found.verified else "UNVERIFIED: give --root to prove what follows."
    return "\n".join([head, *(_describe_model(model) for model in found.models)])


def _describe_model(model: ModelLine) -> str:
    lines = [
        f"{model.name}@{model.version}  {model.size_bytes / MIB:.1f} MiB  {model.license}",
        f"  digest   {model.digest}",
        f"  model    {model.architecture}, {model.format}, {model.probes} golden probe(s)",
        *(f"  made from {parent}" for parent in model.parents),
        *(f"  file     {file.name} ({file.size_bytes} bytes)" for file in model.files),
    ]
    return "\n".join(lines)


def _print(as_json: bool, value: object, sentence: str) -> None:
    typer.echo(encode(value).decode() if as_json else sentence)


def _bar(label: str) -> Progress:
    """Return a progress bar on a terminal's standard error, silence anywhere else."""
    if not sys.stderr.isatty():
        return quiet
    last = -1

    def show(done: int, total: int) -> None:
        nonlocal last
        percent = 100 if total == 0 else done * 100 // total
        if percent != last:
            last = percent
            end = "\n" if percent == 100 else ""
            sys.stderr.write(f"\r{label} {percent:3d} % of {total / MIB:.0f} MiB{end}")
            sys.stderr.flush()

    return show
