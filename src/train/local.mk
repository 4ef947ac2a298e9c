# train: add a source or header as  libtrain_a_SOURCES += %D%/name.c %D%/name.h
noinst_LIBRARIES += libtrain.a
sy_libs += libtrain.a
libtrain_a_SOURCES = %D%/params.h %D%/params.c %D%/hyper.c %D%/trainer.c %D%/trainer_int.h %D%/mailbox.c %D%/step.c \
    %D%/order.c %D%/eval.c %D%/plan.c %D%/norms.c %D%/alarm.c %D%/alarm_health.c %D%/raise.c %D%/why.c %D%/spike.c %D%/spike.h %D%/journal.c \
    %D%/checkpoint.h %D%/checkpoint_int.h %D%/checkpoint.c %D%/checkpoint_files.c %D%/checkpoint_fields.c %D%/saver.c %D%/resume.c
libtrain_a_SOURCES += %D%/checkpoint_json.h %D%/checkpoint_json.c
libtrain_a_SOURCES += %D%/checkpoint_journal.c
libtrain_a_SOURCES += %D%/poll.c
libtrain_a_SOURCES += %D%/lines.c
libtrain_a_SOURCES += %D%/parts.c
libtrain_a_SOURCES += %D%/source_losses.c
libtrain_a_SOURCES += %D%/optimizers/optimizer.h %D%/optimizers/optimizer.c
libtrain_a_SOURCES += %D%/optimizers/adamw.h %D%/optimizers/adamw.c
libtrain_a_SOURCES += %D%/optimizers/muon.c
libtrain_a_SOURCES += %D%/optimizers/sgd.c
libtrain_a_SOURCES += %D%/optimizers/adafactor.c
pkginclude_HEADERS += include/switchyard/hyper.h include/switchyard/train.h
libtrain_a_SOURCES += %D%/status.c %D%/hold.c
libtrain_a_SOURCES += %D%/health.c
