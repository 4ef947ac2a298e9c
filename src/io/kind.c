/* What a file is, told by its first bytes: one table.  Layer: io.
 *
 *  1. A magic with a byte that text never has is sure.  One of letters only (BZh, PAR1) may as well
 *     begin a text, so whoever asks must also know that the file is not text.
 *  2. safetensors files have no magic: their first eight bytes are the length of a header that fits
 *     into the file and begins with '{'. */
#include "io/io_int.h"

#include <string.h>

#define UNPACK "unpack it first"

static const struct row {
    size_t at;
    const char *magic;
    size_t n;
    struct sy_file_kind kind;
} rows[] = {
#define ROW(id, sure, at, magic, what, advice)                                                     \
    {at, magic, sizeof magic - 1, {SY_KIND_##id, sure, what, advice}}
    ROW(GZIP, true, 0, "\x1f\x8b", "gzip data", UNPACK),
    ROW(ZSTD, true, 0, "\x28\xb5\x2f\xfd", "zstd data", UNPACK),
    ROW(OTHER, true, 0, "\xfd" "7zXZ", "xz data", UNPACK " (xz -d)"),
    ROW(OTHER, true, 0, "\x04\x22\x4d\x18", "lz4 data", UNPACK " (lz4 -d)"),
    ROW(OTHER, true, 0, "7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    ROW(OTHER, true, 0, "Rar!\x1a\x07", "a rar archive", UNPACK),
    ROW(OTHER, true, 0, "PK\5\6", "an empty zip archive", ""),
    ROW(OTHER, true, 257, "ustar", "a tar archive", UNPACK),
    ROW(OTHER, false, 0, "BZh", "bzip2 data", UNPACK " (bunzip2)"),
    ROW(OTHER, false, 0, "!<arch>\n", "an archive of ar", UNPACK),

    ROW(NPY, true, 0, "\x93NUMPY", "an .npy array",
        "tensor.load reads it, and data.shards when it holds token ids"),
    ROW(LLMC, true, 0, "\x88\xd8\x34\x01", "a token file of llm.c", "data.shards reads it"),
    ROW(LLMC, true, 0, "\xa1\xd9\x34\x01", "a token file of llm.c", "data.shards reads it"),
    ROW(MEGATRON, true, 0, "MMIDIDX\0\0", "a token index of Megatron", "data.shards reads it"),
    ROW(OTHER, true, 0, "GGUF\2\0\0\0", "a GGUF model", ""),
    ROW(OTHER, true, 0, "GGUF\3\0\0\0", "a GGUF model", ""),
    ROW(OTHER, true, 0, "\x80\2", "a Python pickle", "pickles are never loaded"),
    ROW(OTHER, true, 0, "\x80\3", "a Python pickle", "pickles are never loaded"),
    ROW(OTHER, true, 0, "\x80\4", "a Python pickle", "pickles are never loaded"),
    ROW(OTHER, true, 0, "\x80\5", "a Python pickle", "pickles are never loaded"),
    ROW(OTHER, true, 0, "\x89HDF", "an HDF5 file", ""),
    ROW(OTHER, true, 0, "SQLite format 3\0", "an SQLite database", ""),
    ROW(OTHER, true, 0, "ARROW1\0", "an Arrow file", "write it as JSON lines first"),
    ROW(OTHER, false, 0, "PAR1", "a Parquet file", "write it as JSON lines first"),

    ROW(OTHER, true, 0, "\xff\xfe", "UTF-16 text", "write it as UTF-8 first (iconv -f UTF-16)"),
    ROW(OTHER, true, 0, "\xfe\xff", "UTF-16 text", "write it as UTF-8 first (iconv -f UTF-16)"),
    ROW(OTHER, true, 0, "\xde\x12\x04\x95", "a message catalogue", ""),
    ROW(OTHER, true, 0, "\x7f" "ELF", "an ELF program or library", ""),
    ROW(OTHER, true, 0, "\0asm", "a WebAssembly program", ""),
    ROW(OTHER, true, 0, "\x1bLua", "compiled Lua", ""),
    ROW(OTHER, true, 0, "\xca\xfe\xba\xbe", "a compiled program", ""),
    ROW(OTHER, true, 0, "%PDF-", "a PDF document", "write it as text first (pdftotext)"),
    ROW(OTHER, true, 0, "\x89PNG", "a PNG image", ""),
    ROW(OTHER, true, 0, "\xff\xd8\xff", "a JPEG image", ""),
    ROW(OTHER, false, 0, "GIF8", "a GIF image", ""),
    ROW(OTHER, false, 0, "RIFF", "an image or a sound (RIFF)", ""),
    ROW(OTHER, false, 0, "OggS", "a sound or a film (Ogg)", ""),
    ROW(OTHER, false, 0, "fLaC", "a sound (FLAC)", ""),
    ROW(OTHER, false, 0, "ID3", "a sound (MP3)", ""),
    ROW(OTHER, false, 4, "ftyp", "a film or an image (MP4)", ""),
#undef ROW
};

static const struct sy_file_kind zstd_skip = {SY_KIND_ZSTD, true, "zstd data", UNPACK};
static const struct sy_file_kind zip = {SY_KIND_OTHER, true, "a zip archive", UNPACK};
static const struct sy_file_kind npz = {SY_KIND_OTHER, true, "an .npz archive of arrays",
                                        UNPACK
                                        ": tensor.load and data.shards read the .npy files in it"};
static const struct sy_file_kind safetensors = {
    SY_KIND_SAFETENSORS, true, "a safetensors file",
    "tensor.load reads it, and model.load the folder of a model"};

/* A local header: name's length at 26, the name from 30 on. */
static const struct sy_file_kind *zip_kind(const unsigned char *p, size_t n)
{
    size_t length = n > 30 ? p[26] | (size_t)p[27] << 8 : 0;
    bool arrays = length > 4 && length + 30 <= n && !memcmp(p + 30 + length - 4, ".npy", 4);
    return arrays ? &npz : &zip;
}

static bool is_safetensors(const unsigned char *p, size_t n, uint64_t size)
{
    uint64_t header;
    if (n < 9 || size < 9 || p[8] != '{')
        return false;
    memcpy(&header, p, sizeof header);
    return header >= 2 && header <= (uint64_t)100 << 20 && header <= size - 8;
}

const struct sy_file_kind *sy_file_kind(const void *head, size_t n, uint64_t size)
{
    const unsigned char *p = head;
    if (is_safetensors(p, n, size)) /* its length may be a magic of two bytes: 640, a pickle's */
        return &safetensors;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (n >= rows[i].at + rows[i].n && !memcmp(p + rows[i].at, rows[i].magic, rows[i].n))
            return &rows[i].kind;
    if (n >= 4 && (p[0] & 0xf0) == 0x50 && !memcmp(p + 1, "\x2a\x4d\x18", 3))
        return &zstd_skip;
    if (n >= 4 && !memcmp(p, "PK\3\4", 4))
        return zip_kind(p, n);
    return NULL;
}
