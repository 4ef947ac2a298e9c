# data: tokenizers, corpora, sampler
noinst_LIBRARIES += libdata.a
sy_libs += libdata.a
libdata_a_SOURCES = %D%/batch.c %D%/corpus.c %D%/corpus_int.h %D%/document_reader.c \
    %D%/documents_int.h %D%/find_files.c %D%/sampler.c %D%/synthetic.c %D%/text_corpus.c \
    %D%/word_map.c %D%/word_map_int.h
libdata_a_SOURCES += %D%/row.c %D%/row_int.h %D%/text_int.h
libdata_a_SOURCES += %D%/objectives/fim.c %D%/objectives/mixture.c %D%/objectives/next.c \
    %D%/objectives/objective_int.h %D%/objectives/prefix.c %D%/objectives/span.c
libdata_a_SOURCES += %D%/formats/compressed.c %D%/formats/json_text.c %D%/formats/text.c \
    %D%/formats/token_files.c
libdata_a_SOURCES += %D%/tokenizer/added_tokens.c %D%/tokenizer/added_tokens_int.h \
    %D%/tokenizer/bpe_train.c %D%/tokenizer/encode.c %D%/tokenizer/normalizer.c \
    %D%/tokenizer/normalizer_int.h %D%/tokenizer/pretokenizer.c %D%/tokenizer/pretokenizer_int.h \
    %D%/tokenizer/regex_spelling.c %D%/tokenizer/regex_split.c %D%/tokenizer/regex_split_int.h \
    %D%/tokenizer/tokenizer.c %D%/tokenizer/tokenizer_int.h %D%/tokenizer/tokenizer_json.c \
    %D%/tokenizer/tokenizer_parts.c %D%/tokenizer/tokenizer_read.c \
    %D%/tokenizer/tokenizer_read_int.h %D%/tokenizer/tokenizer_write.c
libdata_a_SOURCES += %D%/tokenizer/special_tokens.c %D%/tokenizer/special_tokens_int.h
libdata_a_CPPFLAGS = $(AM_CPPFLAGS) $(PCRE2_CFLAGS) $(UTF8PROC_CFLAGS) $(ZLIB_CFLAGS) $(ZSTD_CFLAGS)
pkginclude_HEADERS += include/switchyard/batch.h include/switchyard/objective.h
pkginclude_HEADERS += include/switchyard/data.h include/switchyard/progress.h \
    include/switchyard/reading.h include/switchyard/tokenizer.h
libdata_a_SOURCES += %D%/pairs/catalogue.c %D%/pairs/catalogue_int.h %D%/pairs/catalogues.c
libdata_a_SOURCES += %D%/pairs/packing.c %D%/pairs/pairs.c %D%/pairs/pairs_int.h %D%/pairs/pair_corpus.c
libdata_a_SOURCES += %D%/pairs/pair_corpus_int.h %D%/pairs/pair_files.c %D%/pairs/pair_files_int.h
libdata_a_SOURCES += %D%/pairs/pair_list.c %D%/pairs/pair_list_int.h
pkginclude_HEADERS += include/switchyard/pairs.h
libdata_a_SOURCES += %D%/mix.c %D%/mix_int.h %D%/mix_rows.c
libdata_a_SOURCES += %D%/windows.c %D%/windows_int.h
libdata_a_SOURCES += %D%/pairs/help_page.c %D%/pairs/help_page_int.h
