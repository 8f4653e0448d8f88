"""Archives for the tests: pack.py KIND FOLDER FILE packs what is below FOLDER."""

import io
import os
import stat
import sys
import tarfile
import zipfile

kind, folder, out = sys.argv[1:]
files = sorted(os.path.join(at, name) for at, _, names in os.walk(folder) for name in names)
names = [os.path.relpath(file, folder) for file in files]
pairs = list(zip(files, names))


class Pipe(io.RawIOBase):
    """A file that cannot seek, so that sizes are written behind the data."""

    def __init__(self, file):
        self.file = file

    def writable(self):
        return True

    def write(self, data):
        return self.file.write(data)


def write_zip(method, name=lambda name: name, target=out, **options):
    with zipfile.ZipFile(target, "w", method, **options) as archive:
        for file, inside in pairs:
            info = zipfile.ZipInfo(name(inside))
            info.filename = name(inside)
            info.compress_type = method
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            with open(file, "rb") as data:
                archive.writestr(info, data.read())


def write_tar(mode="w", **options):
    with tarfile.open(out, mode, **options) as archive:
        archive.add(folder, arcname=".")


match kind:
    case "stored":
        write_zip(zipfile.ZIP_STORED)
    case "deflated":
        write_zip(zipfile.ZIP_DEFLATED)
    case "bzip2":
        write_zip(zipfile.ZIP_BZIP2)
    case "lzma":
        write_zip(zipfile.ZIP_LZMA)
    case "piped":
        with open(out, "wb") as file:
            write_zip(zipfile.ZIP_DEFLATED, target=Pipe(file))
    case "zip64":
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for file, inside in pairs:
                with open(file, "rb") as data, archive.open(zipfile.ZipInfo(inside), "w", force_zip64=True) as member:
                    member.write(data.read())
    case "windows":
        write_zip(zipfile.ZIP_DEFLATED, name=lambda name: name.replace("/", "\\"))
    case "outside":
        write_zip(zipfile.ZIP_DEFLATED, name=lambda name: "../../" + name)
    case "absolute":
        write_zip(zipfile.ZIP_DEFLATED, name=lambda name: "/etc/" + name)
    case "many":
        # Small files of one text, 100,000 of them in each format.
        with open(files[0], "rb") as data:
            text = data.read()
        with zipfile.ZipFile(out + ".zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for nr in range(100_000):
                archive.writestr(f"{nr // 1000:03}/{nr}.json", text)
        with tarfile.open(out + ".tar", "w", format=tarfile.GNU_FORMAT) as archive:
            for nr in range(100_000):
                info = tarfile.TarInfo(f"{nr // 1000:03}/{nr}.json")
                info.size = len(text)
                archive.addfile(info, io.BytesIO(text))
    case "overlapping":
        # Many names for the bytes of one member.
        write_zip(zipfile.ZIP_DEFLATED)
        with zipfile.ZipFile(out, "a") as archive:
            for nr in range(50):
                again = zipfile.ZipInfo(f"again-{nr}.json")
                for field in ("compress_type", "CRC", "compress_size", "file_size", "header_offset"):
                    setattr(again, field, getattr(archive.infolist()[0], field))
                archive.filelist.append(again)
            archive._didModify = True
    case "ustar" | "gnu" | "pax":
        formats = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
        write_tar(format=formats[kind])
    case "tgz":
        write_tar("w:gz")
    case "tbz2":
        write_tar("w:bz2")
    case "txz":
        write_tar("w:xz")
    case _:
        sys.exit(f"no kind is called {kind}")
