"""Many pictures, from files to files."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path

from .. import images
from .developer import Developer
from .files import FAILURES, DevelopedFile, FileDeveloper, failed
from .processes import share_out

Progress = Callable[[Path, int, int], None]


def develop_files(
    developer: Developer,
    pairs: Iterable[tuple[str | Path, str | Path]],
    *,
    seed: int = 0,
    quality: int = 95,
    bits: int | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Generator[DevelopedFile, None, None]:
    """Develop photo after photo from file to file, and tell of each what became of it as soon as it is done.

    While one picture is developed the next is read and the last one written, in threads: a batch takes as long as the
    slowest of the three does, if there are cores for all, and memory for three pictures. With jobs above 1 so many
    processes share the pictures out, each with a developer of its own, and read, develop and write one after the other.
    The pictures are the same either way.

        for done in develop_files(developer, [("photo.jpg", "film.jpg"), ...]):
            print(done.error or done.out)

    A photo that fails is told of, and the rest goes on. So it is when a process is killed, as where memory runs out:
    the picture it was at is told of, the other processes go on, and when none is left all remaining pictures fail. To
    end early, close the iterator (or let Ctrl-C do it): what is being written is finished or removed.

    Args:
        developer: How.
        pairs: Each a photo and its film picture, whose folder is made if it is missing, and which is written over if it
            is there. Taken one by one as they are needed.
        seed: Each picture's grain follows from it and the photo's file name.
        quality: Of JPEG and WebP, 1 to 100.
        bits: Of PNG and TIFF, 8 or 16; the photo's own where None.
        jobs: Processes. For CPUs: they share a GPU without gain. A script that asks for more than one has to begin with
            ``if __name__ == "__main__":``, as they import it.
        progress: Called with (photo, tiles done, tiles in all); by one job only.

    Raises: ValueError for bad arguments, before any work is done.
    """
    if not 1 <= quality <= 100:
        raise ValueError(f"develop expects a quality from 1 to 100, got {quality}")
    if bits not in (None, 8, 16):
        raise ValueError(f"develop expects 8 or 16 bits, got {bits}")
    if jobs < 1:
        raise ValueError(f"develop expects 1 job or more, got {jobs}")
    files = FileDeveloper(developer, seed, quality, bits)
    paths = ((Path(photo), Path(out)) for photo, out in pairs)
    return _pipelined(files, paths, progress) if jobs == 1 else share_out(files, paths, jobs)


def _pipelined(
    files: FileDeveloper, pairs: Iterator[tuple[Path, Path]], progress: Progress | None
) -> Generator[DevelopedFile, None, None]:
    """Read the next picture and write the last one in threads; MLX stays in this one."""
    with ThreadPoolExecutor(2, "d2f") as background:

        def begun() -> tuple[Path, Path, Future[images.Picture | None]] | None:
            pair = next(pairs, None)
            return pair and (*pair, background.submit(files.read, pair[0]))

        ahead, writing = begun(), None
        while ahead:
            photo, out, reading = ahead
            wait([reading])
            ahead = begun()
            told = progress and partial(progress, photo)
            try:
                picture = reading.result()
                if picture is None:
                    if writing:
                        yield _written(*writing)
                    writing = None
                    yield files.by_bands(photo, out, told)
                    continue
                film = files.developed(photo, picture, told)
            except FAILURES as error:
                yield failed(photo, out, error)
                continue
            written = writing and _written(*writing)
            writing = DevelopedFile(photo, out, film.pixels.shape[:2]), background.submit(files.write, out, film)
            if written:
                yield written
        if writing:
            yield _written(*writing)


def _written(done: DevelopedFile, writing: Future[None]) -> DevelopedFile:
    """Wait until a picture is on the disk."""
    try:
        writing.result()
    except FAILURES as error:
        return failed(done.photo, done.out, error)
    return done
