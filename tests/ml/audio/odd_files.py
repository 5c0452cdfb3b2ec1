"""Files that other software writes, and damaged ones: for tests, and for the table of them."""

import struct
from pathlib import Path

import av
import numpy as np

from tests.ml.audio.ogg_files import ogg_file
from tests.ml.audio_files import LAYOUTS, RATE, encode, tone


def dts(frame_bytes: int) -> bytes:
    """Sixty frames with the head of DTS (ETSI TS 102 114, 5.3.1) and noise: no encoder is at hand.

    The fields behind the sync word: normal frame, 32 samples a block, no checksum, 16 blocks, size,
    2 channels, 44.1 kHz, 1411 kbit/s.
    """
    fields = ((1, 1), (31, 5), (0, 1), (15, 7), (frame_bytes - 1, 14), (2, 6), (8, 4), (22, 5))
    bits = "".join(f"{value:0{width}b}" for value, width in fields) + "00000"
    head = b"\x7f\xfe\x80\x01" + int(bits, 2).to_bytes(len(bits) // 8, "big")
    random = np.random.default_rng(7)
    return b"".join(head + random.bytes(frame_bytes - len(head)) for _ in range(60))


def ac3_in_iec61937(path: Path) -> bytes:
    """Two seconds of AC-3 in frames of IEC 61937."""
    with av.open(str(path), "w", format="spdif") as out:
        stream = out.add_stream("ac3", rate=48000, layout="stereo")
        form = stream.codec_context.format.name
        split = av.AudioResampler(format=form, layout=LAYOUTS[2], rate=48000, frame_size=1536)
        samples = tone(2.0, 48000).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format="flt", layout="stereo")
        frame.sample_rate = 48000
        for piece in split.resample(frame):
            out.mux(stream.encode(piece))
        out.mux(stream.encode(None))
    return path.read_bytes()


def in_14_bits(data: bytes) -> np.ndarray:
    """DTS as on a CD: 14 bits in each sample, so that it is less loud."""
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    bits = bits[: len(bits) // 14 * 14].reshape(-1, 14)
    values = bits.astype(np.int32) @ (1 << np.arange(13, -1, -1))
    return np.where(values & 0x2000, values - 0x4000, values).astype("<i2")


SIZES = {  # container: mark in front of the size of the sound, its offset and form
    "wav": (b"data", 4, "<I"),
    "aiff": (b"SSND", 4, ">I"),
    "au": (b".snd", 8, ">I"),
    "w64": (b"data\xf3\xac\xd3\x11", 16, "<Q"),
    "caf": (b"data", 4, ">q"),
    "rf64": (b"ds64", 16, "<Q"),
}


def with_size(content: bytes, kind: str, share: float) -> bytes:
    mark, offset, form = SIZES[kind]
    at = content.index(mark) + offset
    length = struct.calcsize(form)
    (size,) = struct.unpack(form, content[at : at + length])
    return content[:at] + struct.pack(form, int(share * size)) + content[at + length :]


def id3(length: int) -> bytes:
    sizes = bytes(length >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x04\0\0" + sizes + bytes(length)


def changed(content: bytes, mark: bytes, offset: int, form: str, value: float) -> bytes:
    at = content.index(mark) + offset
    new = struct.pack(form, value)
    return content[:at] + new + content[at + len(new) :]


FRAGMENTS = {"movflags": "frag_keyframe+empty_moov", "frag_duration": "300000"}


WRONG_LENGTHS = {  # encoder, container, options; where the length lies, and a value for it
    "m4a": ("aac", "ipod", FRAGMENTS, (b"mdhd", 20, ">I", 4 * RATE)),
    "wma": ("wmav2", "asf", {}, (bytes.fromhex("a1dcab8c47a9cf11"), 64, "<Q", 71_000_000)),
    "mka": ("pcm_s16le", "matroska", {}, (b"\x44\x89\x88", 3, ">d", 4000.0)),
    "wv": ("wavpack", "wv", {}, (b"wvpk", 12, "<I", 4 * RATE)),
    "mp3": ("libmp3lame", "mp3", {}, (b"Info", 8, ">I", 153)),
}


def with_object(content: bytes, object_: bytes) -> bytes:
    """An ASF file with one more object in its header."""
    size, number = struct.unpack("<QI", content[16:28])
    head = content[:16] + struct.pack("<QI", size + len(object_), number + 1) + content[28:30]
    return head + object_ + content[30:]


def encrypted_matroska(path: Path) -> None:
    """The first track gets a ContentEncoding with a ContentEncryption."""
    encode(path, "pcm_s16le", "matroska", samples=tone(1.0))
    content = path.read_bytes()
    mark = b"\x16\x54\xae\x6b"  # Tracks; its first occurrence is in the table of contents
    tracks = content.index(mark, content.index(mark) + 4) + 4
    track = content.index(b"\xae", tracks) + 1
    encodings = bytes.fromhex("6d80 89 6240 86 5035 83 47e1 80")
    for at in (track, tracks):  # both grow; their sizes are numbers of Matroska
        length = 9 - content[at].bit_length()
        size = int.from_bytes(content[at : at + length], "big") + len(encodings)
        content = content[:at] + size.to_bytes(length, "big") + content[at + length :]
    track += 9 - content[track].bit_length()
    path.write_bytes(content[:track] + encodings + content[track:])


KEY = "00112233445566778899aabbccddeeff"


def speex(seconds: float) -> bytes:
    """Noise in narrowband Speex (submode 5, 300 bits a frame): no encoder is at hand."""
    numbers = struct.pack("<13i", 1, 80, 8000, 0, 4, 1, -1, 160, 0, 1, 0, 0, 0)
    headers = [b"Speex   " + b"1.2".ljust(20, b"\0") + numbers, struct.pack("<II", 0, 0)]
    random = np.random.default_rng(0)
    packets = []
    for _ in range(int(seconds * 50)):
        bits = "0" + "0101" + "".join(map(str, random.integers(0, 2, 295))) + "0111"
        packets.append((int(bits.ljust(304, "1"), 2).to_bytes(38, "big"), 160))
    return ogg_file(headers, packets, serial=3)


def layer_one(seconds: float) -> bytes:
    """Noise in four bands of MPEG-1 layer I at 384 kbit/s: no encoder is at hand."""
    random = np.random.default_rng(0)
    frame_bytes = 12 * 384_000 // RATE * 4
    frames = []
    for _ in range(int(seconds * RATE / 384)):
        bits = "0111" * 4 + "0000" * 28 + "000110" * 4  # 8 bits a sample; scale factors
        bits += "".join(f"{value:08b}" for value in random.integers(0, 255, 12 * 4))
        body = int(bits, 2).to_bytes(len(bits) // 8, "big")
        frames.append((b"\xff\xff\xc0\xc0" + body).ljust(frame_bytes, b"\0"))
    return b"".join(frames)


def info_list(**values: bytes) -> bytes:
    """A LIST chunk of kind INFO, as recorders and ffmpeg write it."""
    body = b"INFO" + b"".join(
        name.encode() + struct.pack("<I", len(value)) + value + bytes(len(value) % 2)
        for name, value in values.items()
    )
    return b"LIST" + struct.pack("<I", len(body)) + body
