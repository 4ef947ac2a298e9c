# data: tokenizers, corpora, sampler
noinst_LIBRARIES += libdata.a
sy_libs += libdata.a
libdata_a_SOURCES = \
    %D%/added.c %D%/added_int.h %D%/normal.c %D%/normal_int.h %D%/pattern_spell.c %D%/pretok.c %D%/pretok_int.h \
    %D%/bpe_train.c %D%/corpus.c %D%/corpus_int.h %D%/encode.c %D%/find.c %D%/inflate.c %D%/json_text.c %D%/sampler.c \
    %D%/shards.c %D%/source.c %D%/source_int.h %D%/split.c %D%/split_int.h %D%/synthetic.c %D%/text.c \
    %D%/tokenizer.c %D%/tokenizer_int.h %D%/tokenizer_parts.c %D%/tokenizer_read.c \
    %D%/tokenizer_read_int.h %D%/tokenizer_write.c %D%/words.c %D%/words_int.h
libdata_a_CPPFLAGS = $(AM_CPPFLAGS) $(PCRE2_CFLAGS) $(UTF8PROC_CFLAGS) $(ZLIB_CFLAGS) $(ZSTD_CFLAGS)
libdata_a_SOURCES += %D%/batch.c
pkginclude_HEADERS += include/switchyard/batch.h
pkginclude_HEADERS += include/switchyard/data.h include/switchyard/progress.h \
    include/switchyard/reading.h include/switchyard/tokenizer.h
libdata_a_SOURCES += %D%/reader.c %D%/tokenizer_json.c
