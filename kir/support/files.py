"""Replacing files: whole or not at all, whatever fails, and whoever is killed.

A file is written in a folder of its own beside its target, the scratch folder, then flushed to disk and renamed over
the target. That rename is the one step in which anything changes, and it is atomic.

Some files have a companion, a second file that they refer to by name: an ONNX model its external data, a script its
weights. Two renames are not atomic, so a companion is never changed: its name holds a digest of its content, and
another content is another file. A pair is replaced in four steps:

1. The scratch folder notes which companions are new, and which the old file refers to.
2. The new companion is put beside the target, where nothing refers to it yet.
3. The new file is renamed over the old one.
4. The old companion is removed.

Whoever is killed leaves a scratch folder. The next writer of the same target removes it, and what its notes say is of
no use any more. A scratch folder is locked as long as its process lives, so that nobody removes one in use.
"""

from __future__ import annotations

import contextlib
import errno
import filecmp
import glob
import hashlib
import os
import re
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from kir.errors import FormatError, InvalidArgumentError, KirError
from kir.support.mapped_files import require_unchanged
from kir.support.naming import decoded

if sys.platform != "win32":
    import fcntl

CHUNK_BYTES = 1 << 20
MAX_REFERENCE_BYTES = 512

# Of the SHA-256 of a companion's content, in hexadecimal. 64 bits: no two contents of one model meet by accident.
DIGEST_DIGITS = 16
NO_DIGEST = "0" * DIGEST_DIGITS

# Longer names are cut where something is put behind them: file systems have names of 255 bytes, eCryptfs of 143.
MAX_STEM_BYTES = 100
MAX_LOCK_SECONDS = 60

# Larger files have their weights within and no companion: a model without its weights has some kB per layer.
MAX_COPY_BYTES = 16 << 20

# In the scratch folder: the files to put in place, and the notes, which are empty files named like companions.
WRITTEN, PLACED, REPLACED = "written", "placed", "replaced"
SCRATCH_DIGITS = 8
COMPANION_NAME = re.compile(rf"(?s).+\.([0-9a-f]{{{DIGEST_DIGITS}}})\.\w+")


@dataclass(frozen=True)
class Companion:
    """How files of one kind name the second file that belongs to them, and how they refer to it.

    Attributes:
        name: gives the companion's name, from the name of the file and the digest of the companion's content.
        reference: gives the bytes by which a file refers to the companion of this name.
    """

    name: Callable[[str, str], str]
    reference: Callable[[str], bytes]

    def add(self, file: Path, write: Callable[[Path], object]) -> str:
        """Write the companion of a file beside it, and give its name, which the content determines."""
        draft = file.with_name(self.name(file.name, NO_DIGEST))
        write(draft)
        with open(draft, "rb") as written:
            digest = hashlib.file_digest(written, "sha256").hexdigest()[:DIGEST_DIGITS]
        return draft.replace(file.with_name(self.name(file.name, digest))).name

    def of(self, file: Path) -> set[str]:
        """Return the names of the companions that lie beside a file and that it refers to; none if there is no file."""
        draft = self.name(file.name, NO_DIGEST)
        before, _, behind = draft.rpartition(NO_DIGEST)
        pattern = re.compile(f"{re.escape(before)}[0-9a-f]{{{DIGEST_DIGITS}}}{re.escape(behind)}")
        beside = {name for name in os.listdir(file.parent) if pattern.fullmatch(name)}
        if not beside:
            return set()  # which spares large files the search
        lead, _, tail = self.reference(draft).rpartition(NO_DIGEST.encode())
        digests = _search(file, re.escape(lead) + b"([0-9a-f]{%d})" % DIGEST_DIGITS + re.escape(tail))
        return beside & {self.name(file.name, digest) for digest in digests}


def short_name(name: str) -> str:
    """Return a name to put something behind: what is long or has unusual characters is cut, and marked by a digest."""
    plain = re.sub(r"[^\w.()+ -]", "_", name)
    if plain == name and len(name.encode()) <= MAX_STEM_BYTES:
        return name
    mark = hashlib.sha256(os.fsencode(name)).hexdigest()[:8]
    return f"{plain.encode()[: MAX_STEM_BYTES - len(mark) - 1].decode(errors='ignore')}-{mark}"


# Replacing


@contextmanager
def replacing(path: Path, companion: Companion | None = None) -> Iterator[Path]:
    """Give a path to write to; what is there when the block ends well takes the place of `path`.

    If the block raises, or what it wrote cannot be put in place, what was there stays. A symbolic link stays, and what
    it points to is replaced. The new file has the mode of the old one and, where that is permitted, its owner; other
    hard links keep the old content. Errors name `path`, and never the path that was written to.

    Args:
        path: the file to replace or to make.
        companion: the kind of second file that may lie beside the first one when the block ends. The one that the
            first refers to is put in place with it, and the one that the old file refers to is removed.

    Raises:
        FormatError: the target cannot be written, see `check_target`; or writing failed, of which OSError tells; or
            a file that was read for it was cut short.
    """
    target = check_target(path)
    try:
        with scratch_folder(target) as scratch:
            folder = scratch / WRITTEN
            folder.mkdir()
            try:
                yield folder / target.name
                require_unchanged([])
                _put_in_place(scratch, target, companion)
            except KirError as error:
                # The files that it may speak of are written for `path`.
                message, *others = error.args or ("",)
                message = str(message).replace(str(folder / target.name), str(path))
                error.args = (message.replace(str(folder), str(path.parent)), *others)
                raise
    except BrokenPipeError:
        raise  # of somebody who reads our output: no file gives it
    except OSError as error:
        if error.errno == errno.EFAULT:  # what was to be written is gone
            require_unchanged()
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise FormatError(f"cannot write {path}: {reason}; check the disk and the permissions") from error


def check_target(path: Path) -> Path:
    """Return the file to replace, behind symbolic links. Refuse, before any work is done, what cannot be written.

    A file that may not be written to is refused, although renaming another one over it might work: whoever made it
    read-only wants to keep it.

    Raises:
        FormatError: the path is no text; it is a folder, or a device or a pipe; it is read-only; its folder does not
            exist, or is not writable; or links lead round in a circle.
    """
    try:
        if "\0" in str(path):
            raise FormatError(f"cannot write {str(path)!r}: a name cannot hold the character NUL")
        decoded(str(path))
        status = _status(path)
    except InvalidArgumentError as error:
        raise FormatError(f"cannot write {str(path)!r}: its name is not UTF-8; choose another name") from error
    except NotADirectoryError:
        status = None
    except OSError as error:
        raise FormatError(f"cannot write {path}: {error.strerror}") from error
    target = behind_links(path)
    if status is None:
        _check_folder(path, target)
    elif stat.S_ISDIR(status.st_mode):
        raise FormatError(f"cannot write {path}: it is a folder; give the name of a file in it")
    elif not stat.S_ISREG(status.st_mode):
        raise FormatError(f"cannot write {path}: it is a device or a pipe; expected the name of a file")
    elif not os.access(target, os.W_OK):
        raise FormatError(
            f"cannot write {path}: it is read-only; make it writable (chmod u+w; chattr -i), or give another name"
        )
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise FormatError(f"cannot write {path}: the folder {target.parent} is not writable")
    return target


def behind_links(path: Path) -> Path:
    """Return the file that a symbolic link leads to, which need not exist; or the path, if it is none."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _check_folder(path: Path, target: Path) -> None:
    if not target.parent.is_dir():
        raise FormatError(f"cannot write {path}: there is no folder {target.parent}; create it first")


def _status(path: Path) -> os.stat_result | None:
    """Return what is known of the file behind symbolic links; None if there is none."""
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def _put_in_place(scratch: Path, target: Path, companion: Companion | None) -> None:
    folder = scratch / WRITTEN
    staged = folder / target.name
    old = _status(target)
    _finish(staged, old)
    new = companion.of(staged) if companion is not None and len(os.listdir(folder)) > 1 else set()
    for name in new:
        _finish(folder / name, old, without=stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    with _locked(target.parent) if companion is not None else contextlib.nullcontext():
        gone = companion.of(target) - new if companion is not None else set()
        gone -= _shared(target, gone)
        fresh = {name for name in new if not os.path.lexists(target.with_name(name))}
        _note(scratch / PLACED, fresh)
        _note(scratch / REPLACED, gone)
        for name in new:
            _place(folder / name, target.with_name(name))
        if new:
            _sync_folder(target.parent)
        os.replace(staged, target)
        _sync_folder(target.parent)


def _shared(target: Path, names: set[str]) -> set[str]:
    """Return the companions of a file that others refer to as well: other hard links to it, or copies beside it."""
    if not names or target.stat().st_nlink > 1:
        return names
    others = [path for path in target.parent.glob(f"*{glob.escape(target.suffix)}") if path.name != target.name]
    try:
        small = [path for path in others if path.is_file() and path.stat().st_size <= MAX_COPY_BYTES]
        return set().union(*(_mentioned(path, names) for path in small))
    except OSError:  # one that cannot be read might
        return names


def _mentioned(file: Path, names: set[str]) -> set[str]:
    """Return those companions whose digests occur in a file."""
    digests = {name: match[1] for name in names if (match := COMPANION_NAME.fullmatch(name))}
    found = _search(file, b"(" + "|".join(digests.values()).encode() + b")")
    return {name for name, digest in digests.items() if digest in found}


def _finish(file: Path, old: os.stat_result | None, without: int = 0) -> None:
    """Give a file the mode, less some bits, and the owner of the one that it will replace, and flush it to disk."""
    descriptor = os.open(file, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
    try:
        if old is not None and sys.platform != "win32":
            _keep_owner(descriptor, old)
            mode = stat.S_IMODE(old.st_mode) & ~without
            if stat.S_IMODE(os.fstat(descriptor).st_mode) != mode:
                os.fchmod(descriptor, mode)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _keep_owner(descriptor: int, old: os.stat_result) -> None:
    """Set owner and group; or the group alone, which is permitted to its members."""
    now = os.fstat(descriptor)
    for owner in (old.st_uid, -1):
        if (now.st_uid, now.st_gid) == (old.st_uid, old.st_gid):
            return
        with suppress(PermissionError):
            os.fchown(descriptor, owner, old.st_gid)
            return


def _place(staged: Path, final: Path) -> None:
    """Put a companion in place. A file of that name has the same content, unless it was damaged."""
    if not os.path.lexists(final) or stat.S_ISREG(final.lstat().st_mode):
        os.replace(staged, final)
    elif not final.is_file() or not filecmp.cmp(staged, final, shallow=False):
        raise FormatError(f"cannot write {final}: it is a folder, a device or a link to something else; remove it")


def _search(file: Path, pattern: bytes) -> set[str]:
    """Return what the group of a pattern matches in a file, in little memory; nothing if there is no file."""
    found: set[str] = set()
    compiled = re.compile(pattern, re.DOTALL)
    with suppress(FileNotFoundError), open(file, "rb") as opened:
        window = b""
        while chunk := opened.read(CHUNK_BYTES):
            window = window[-MAX_REFERENCE_BYTES:] + chunk
            found.update(match[1].decode() for match in compiled.finditer(window))
    return found


def _sync_folder(folder: Path) -> None:
    """Flush the names in a folder to disk, where the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# Scratch folders


@contextmanager
def scratch_folder(target: Path) -> Iterator[Path]:
    """Give a fresh folder beside a file, which only this process uses. It is removed at the end, with all in it.

    So are those beside the same file whose processes were killed.

    Raises:
        OSError: it cannot be made.
    """
    _remove_abandoned(target)
    folder, lock = _make_scratch_folder(target)
    try:
        yield folder
    finally:
        _remove_scratch_folder(folder, target)
        if lock is not None:
            os.close(lock)


def _make_scratch_folder(target: Path) -> tuple[Path, int | None]:
    """Make a folder, and lock it before anybody takes it for abandoned."""
    while True:
        folder = target.with_name(f".{short_name(target.name)}.kir-{secrets.token_hex(SCRATCH_DIGITS // 2)}")
        with suppress(FileExistsError):
            try:
                os.mkdir(folder, 0o700)
            except FileNotFoundError as error:  # as in /proc
                raise OSError("its folder takes no new files") from error
            try:
                lock = _lock(folder)
            except (FileNotFoundError, BlockingIOError):
                continue  # somebody was faster, and removes it
            except OSError:
                os.rmdir(folder)
                raise
            if lock is None or _is_open_at(lock, folder):
                return folder, lock
            os.close(lock)


def _remove_abandoned(target: Path) -> None:
    """Remove what can be removed of the scratch folders beside a file that no process has locked."""
    pattern = re.compile(rf"\.{re.escape(short_name(target.name))}\.kir-[0-9a-f]{{{SCRATCH_DIGITS}}}")
    with suppress(OSError):
        for name in filter(pattern.fullmatch, os.listdir(target.parent)):
            with suppress(OSError):
                lock = _lock(target.with_name(name))
                if lock is None:
                    continue
                try:
                    if _is_open_at(lock, target.with_name(name)):
                        _remove_scratch_folder(target.with_name(name), target)
                finally:
                    os.close(lock)


def _remove_scratch_folder(scratch: Path, target: Path) -> None:
    """Remove a scratch folder and the companions without use. What cannot be removed now, the next writer will try."""
    with suppress(OSError):
        _remove_unused(scratch, target)
        shutil.rmtree(scratch)


def _remove_unused(scratch: Path, target: Path) -> None:
    """Remove the companions that a scratch folder notes and that are of no use: the new or the old ones.

    The new file leaves the scratch folder when it takes the place of the old one.
    """
    notes = scratch / (PLACED if (scratch / WRITTEN / target.name).exists() else REPLACED)
    names = set(filter(COMPANION_NAME.fullmatch, _listed(notes)))
    if not names:
        return
    with _locked(target.parent):
        for companion in map(target.with_name, names - _mentioned(target, names)):
            if companion.is_file() and not companion.is_symlink():
                companion.unlink()


def _listed(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def _note(folder: Path, names: set[str]) -> None:
    """Note names of companions. An empty file for each is there or not, and never half written."""
    if names:
        folder.mkdir()
        for name in names:
            (folder / name).touch()
        _sync_folder(folder)
        _sync_folder(folder.parent)


# Locks


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """While open, no other process puts a pair of files in place in a folder, where its file system has locks.

    Raises:
        OSError: somebody else has locked it for long.
    """
    deadline = time.monotonic() + MAX_LOCK_SECONDS
    while True:
        try:
            lock = _lock(folder)
            break
        except PermissionError:  # a folder that can be written to and not read
            lock = None
            break
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise OSError(f"another program has locked the folder {folder} for {MAX_LOCK_SECONDS} s") from None
            time.sleep(0.01)
    try:
        yield
    finally:
        if lock is not None:
            os.close(lock)


def _lock(folder: Path) -> int | None:
    """Lock a folder, until what is returned is closed or the process ends. None: the file system has no locks.

    Raises:
        BlockingIOError: it is locked already.
        OSError: it is no folder that can be opened.
    """
    if sys.platform == "win32":
        return None
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _is_open_at(descriptor: int, folder: Path) -> bool:
    """Return whether an open folder is still the one at a path, and not behind a link."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), folder.lstat())
    return False
