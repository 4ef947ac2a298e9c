-- Docs of what is written in Lua: rows for ?name, completion and the manual page, beside those of
-- the C bindings and of the op table.  Loaded when help is first asked for.  tests/lua/docs.lua
-- holds that every public function and method has a row, that every row names something that
-- exists, and that the examples run.
--
-- An entry is {name, signature, text, example or nil, options = what or nil}; names of methods have
-- a colon after what they belong to (model:loss).  `options` names a table of options, listed with
-- defaults and ranges.  Examples know: d (data.synthetic), m (a model.moe of it), r (a run of
-- both), a and b (tensors (4,3)), tok.

local engine = require "switchyard.engine"
local enum = require "switchyard.core.enum"

local docs = {}

-- "adamw: Kingma and Ba 2015 ...; muon: ..."
local function optimizer_sources()
  local list = {}
  for i, o in ipairs(engine.optimizers()) do list[i] = o.name .. ": " .. o.source end
  return table.concat(list, "; ") .. "."
end

-- "steps, batch ... and schedule; of a model with experts router, top_k, capacity"
local function settable()
  local names = {}
  for _, row in ipairs(require("switchyard.run.train").rows()) do
    if row.live and row.live ~= enum.live.NEVER then names[#names + 1] = row[1] end
  end
  return ("%s; of a model with experts router, %s"):format(table.concat(names, ", "),
    table.concat(require("switchyard.model.live").names, ", "))
end

-- "router_untaught: the language model's loss does not reach the router; ..."
local function faults()
  local list = {}
  for i, f in ipairs(require("switchyard.lab.lint").faults()) do
    list[i] = f.fault .. ": " .. f.what
  end
  return table.concat(list, "; ") .. "."
end

-- Conditions and actions of alarms, each by what its row says.
local function acting()
  local conditions, actions = {}, {}
  local known, rows = require("switchyard.lab.alarm_actions").docs()
  for i, c in ipairs(known) do
    local short = c.id:lower()
    conditions[i] = ("%s%s: %s"):format(c.name, short ~= c.name and (" (%s)"):format(short) or "",
      c.condition)
  end
  for i, row in ipairs(rows) do actions[i] = ("%s: %s"):format(row[1], row[2]) end
  return ("when is one of these names: %s; or f(r), asked every n steps. run is one of these: %s; "
    .. "or f(r, alarm), which may do what can be typed."):format(table.concat(conditions, "; "),
    table.concat(actions, "; "))
end

docs.entries = {
  -- ---- data ----
  {"data.bleu", "data.bleu(texts, references) -> number, {precisions=, brevity=, length=, "
    .. "reference_length=}",
   "BLEU of translations, from 0 to 100, over all texts together: how many of their 1- to 4-grams "
    .. "a reference has, too. references are as many texts, or lists of texts where there are "
    .. "several a text. Words are cut as mteval-v13a does, and a share of 0 is smoothed as "
    .. "sacreBLEU does by default: the values are its. Source: Papineni et al. 2002; Post 2018.",
   'data.bleu({"the cat sat on a mat"}, {"the cat is on the mat"})'},
  {"data.chrf", "data.chrf(texts, references) -> number, {precision=, recall=}",
   "chrF of translations, from 0 to 100: the F-score (beta 2) of their n-grams of 1 to 6 "
    .. "characters without spaces. Kinder than data.bleu to short texts and to languages with "
    .. "many forms of a word. The values are sacreBLEU's. Source: Popovic 2015.",
   'data.chrf({"the cat sat on a mat"}, {"the cat is on the mat"})'},
  -- ---- models ----
  {"model",
   "m.params  m.layers[l].moe.experts[e]  m.states  m.inputs  m.cfg  m.tokenizer  m.family",
   "Models are made by model.moe{...}, model.dense{...}, or what model.define made. m.params "
    .. "holds the parameters in order and by name; m.states what belongs to the model without a "
    .. "gradient; m.inputs what can be changed while it runs (masks, weights of losses). "
    .. "m.tokenizer is the one given as vocab; where vocab is a number it is that of the data "
    .. "that trains the model, and nil before (256 ids are taken for bytes until then) or when "
    .. "the data is ids alone: then the model reads and writes ids, and text is refused. Printed, "
    .. "a model shows its parameters and their shapes.",
   "m.params[1].shape"},
  {"model.moe", "model.moe{layers=6, dim=384, experts=8, top_k=2, ...} -> m",
   "A decoder of pre-norm blocks: grouped-query attention with RoPE, then a mixture of SwiGLU "
    .. "experts of which each token uses top_k. Errors: an unknown option, a value out of range, "
    .. "dim that is no multiple of heads, top_k over experts. Source: Shazeer et al. 2017; Fedus "
    .. "et al. 2021; Jiang et al. 2024 (Mixtral).",
   "model.moe{layers = 1, dim = 32, heads = 2, context = 16, vocab = 64, experts = 4, top_k = 2, "
    .. "expert_dim = 32}",
   options = "model.moe"},
  {"model.dense", "model.dense{layers=6, dim=384, ffn_dim=1024, ...} -> m",
   "The decoder of model.moe with one feed-forward layer in place of the experts. Errors: "
    .. "as model.moe.",
   "model.dense{layers = 1, dim = 32, heads = 2, context = 16, vocab = 64, ffn_dim = 64}",
   options = "model.dense"},
  {"model.encdec", "model.encdec{layers=4, decoder_layers=4, dim=128, experts=nil, ...} -> m",
   "An encoder and a decoder of pre-norm blocks as T5 has them, with mixtures of experts where "
    .. "moe_every, moe_first or moe_layers says (Switch Transformer, GShard), dense without "
    .. "experts. The encoder reads batch.inputs (B,S), S being input_context; the decoder writes T "
    .. "tokens, context, and attends to what the encoder made of them; tokens of other documents, "
    .. "and padding, see each other nowhere. Layers are numbered through both stacks, the "
    .. "encoder's first; m.layers[l].label says \"enc 1\", \"dec 1\". Flops a token are those of "
    .. "a token of the decoder with its share of the encoder's work. Errors: as model.moe; options "
    .. "of experts without experts. Source: Raffel et al. 2020; Fedus et al. 2021; Lepikhin et al. "
    .. "2021.",
   "model.encdec{layers = 1, decoder_layers = 1, dim = 32, heads = 2, input_context = 16, vocab = "
    .. "64}",
   options = "model.encdec"},
  {"model.define", "model.define(name, build, rows) -> function",
   "Makes model.name{...}. build(cfg) takes the options and returns forward(ids, batch), which "
    .. "takes the token ids (B,T) i32 and returns nn.head(x, w) or logits (B*T,V). forward is "
    .. "recorded, once for each shape and mode, and then repeated without Lua: what Lua gives "
    .. "anew at every call (math.random, os.time, io.read, r.step) is refused in it. rows lists "
    .. "the options: {name, type, default, least, most}, type being integer, number, boolean, "
    .. "string, table, any or vocab; without rows every option is let through. batch has the "
    .. "other fields of the batch, (B,T) each: batch.targets, batch.documents (number of each "
    .. "token's document), batch.weights (of each target in the loss), batch.sources; (B,S), S "
    .. "being the option input_context: batch.inputs, batch.input_documents, batch.input_sources; "
    .. "(B): batch.prefix, batch.objectives. One that the data cannot give is refused when the "
    .. "model is traced. examples/own_model.lua is one.",
   'model.define("bigram", function(cfg)\n'
   .. '  return function(ids)\n'
   .. '    local table = nn.param("table", {cfg.vocab, cfg.vocab})\n'
   .. '    return nn.embedding(ids, table):view(-1, cfg.vocab)\n'
   .. '  end\n'
   .. 'end)\n'
   .. 'model.bigram{vocab = 64}'},
  {"model:count", "m:count() -> {total=, active=, flops_per_token=, varies=}",
   "Parameters in all, those that one token uses, and the model FLOPs of a training step a token: "
    .. "6 for each multiply-add weight it uses, plus causal attention at half. Of an encoder and a "
    .. "decoder it is the mean over the tokens of both sides, as tokens are counted everywhere. "
    .. "varies = true: these are of top_k experts, and its router gives a token more or fewer "
    .. "(zero_experts, relu, top_p ...); runs of it have no mfu and no axis of FLOPs.",
   "m:count().active"},
  {"model:generate",
   "m:generate(prompt, {tokens=200, temperature=0.8, top_k=40, top_p=1, seed=1, stream=false, "
    .. "stop=true, beam=1, length_penalty=0.6}) -> text",
   "The prompt (a text or token ids) and what the model writes after it, with a key-value cache; "
    .. "of a model with an encoder (model.encdec), which reads the prompt once, what the decoder "
    .. "writes alone, and with beam over 1 the best sequence of a beam search; "
    .. "a list of ids where the model has no tokenizer. It ends after so many tokens or at the "
    .. "tokenizer's end-of-text (tok.eot). While a run trains the model it waits for the end of a "
    .. "step. Errors: a model of one's own that looks at other tokens otherwise than by "
    .. "nn.attention: it cannot write one token after another. Source: Fan et al. 2018; Holtzman "
    .. "et al. 2020; Wu et al. 2016.", "m:generate({1, 2, 3}, {tokens = 5})",
   options = "model:generate"},
  {"model:fill", "m:fill(text, {blank=, by=, tokens=40, temperature=0, seed=1, ...}) -> text, list",
   "The text with its blanks filled (___ marks one), and the list of what fills them, by a model "
    .. "that was trained with objective \"span\" (all blanks at once: an encoder-decoder, or a "
    .. "model of one stack) or \"fim\" (one after the other, each by what stands before it and "
    .. "behind it up to the next). A filling ends where the model writes a special token. A space "
    .. "before a blank belongs to it where the tokenizer's words begin with one. Errors: "
    .. "a text without a blank; a tokenizer without the special tokens; a text that fills the "
    .. "model's context. Source: Raffel et al. 2020; Bavarian et al. 2022.",
   'model.dense{layers = 1, dim = 16, heads = 2, ffn_dim = 16,\n'
   .. '  vocab = tokenizer.bytes{fim = true}}:fill("To ___ or not to ___", {tokens = 3})',
   options = "model:fill"},
  {"model:translate",
   'm:translate(text or list, {from="de", to="en", tokens=200, beam=1, ...}) -> text or list',
   "What a model that was trained on pairs (data.pairs, data.catalogues) writes for a text, or for "
    .. "each of a list: the likeliest token each time, or a beam search by a model with an "
    .. "encoder. Such a model writes for several texts of a list at once, each as it would alone. "
    .. "from and to are languages of the pairs, which need not be named where a side has one, or "
    .. "where neither a tag nor the model tells several apart.",
   nil, options = "model:translate"},
  {"model:logits", "m:logits(text or ids) -> tensor (T,V)",
   "Scores of the next token after each token, f32: row t is about the token after the t-th. "
    .. "Columns count from 1, token ids from 0: column i is that of id i - 1, and argmax(-1) - 1 "
    .. "are the likeliest ids. Errors: no tokens; an id outside the vocabulary.",
   "m:logits{1, 2, 3}:argmax(-1) - 1"},
  {"model:loss",
   "m:loss(dataset or text or ids, {batches=20, batch=16, context=, objective=}) -> number",
   "Mean cross entropy in nats a token, without any auxiliary loss. Of a text every token but the "
    .. "first is predicted once, in windows of the model's context that overlap by half: the "
    .. "first window predicts all of its tokens, a further one those of its latter half, which "
    .. "have half a context or more before them. Of a data set: the windows of r:eval, each "
    .. "within its documents if the model is (documents = true), by the objective of the model's "
    .. "run, or another one. batch is how many windows are "
    .. "computed at once. Errors: a text of fewer than 2 tokens.",
   'm:loss(d, {batches = 2}), m:loss{1, 2, 3}', options = "model:loss"},

  {"model:accuracy",
   "m:accuracy(dataset, {batches=20, batch=16, context=, objective=}) -> share, {source = share}",
   "Share of the targets in the windows that m:loss takes that are the likeliest token of the "
    .. "model, given all that is before them; of data of several sources (data.pairs, data.mix) "
    .. "also of each.",
   "m:accuracy(d, {batches = 2})", options = "model:loss"},
  {"model:upcycle", "m:upcycle{experts=8, top_k=2, router=, balance=, capacity=, ...} -> m2, off",
   "Of a dense model (model.dense) one of model.moe whose every expert is the dense layer, with a "
    .. "router from scratch; of a dense model.encdec one with mixtures where moe_every, moe_first "
    .. "or moe_layers says; m stays as it is. Options are those of model.moe: experts, top_k, "
    .. "router, balance, capacity, normalize, scale, expert_dropout, dense_layers (which stay "
    .. "dense) and seed (of the routers). off is the largest difference of their logits on a few "
    .. "tokens: 0 where a token has gates that are 1 together and exact (hash, uniform), a "
    .. "rounding where its gates sum to 1 (softmax and its like with top_k > 1); else "
    .. "(a gate is a score: top_k = 1 of softmax, switch, olmoe) m2 does not begin as m, and a "
    .. "line says so. Errors: a model with experts, or of one's own. Source: Komatsuzaki et al. "
    .. "2022.",
   "model.dense{layers = 1, dim = 32, heads = 2, context = 16, vocab = 64, ffn_dim = 32}"
    .. ":upcycle{experts = 4, top_k = 2}"},

  {"model:copy_from", "m:copy_from(source) -> {copied=, kept=, left=, numbers=}",
   "Copies all parameters and states of another model that have the name and the shape of one of "
    .. "m, and says which these were: of a mixture into a dense model all that is no expert's and "
    .. "no router's; into a model that differs in options alone (dropout) everything. kept: names "
    .. "of m that stay as they are; left: of the source. Errors: nothing fits; m belongs to a run.",
   "model.dense{layers = 1, dim = 32, heads = 2, context = 16, vocab = 64, ffn_dim = 32}"
    .. ":copy_from(model.moe{layers = 1, dim = 32, heads = 2, context = 16, vocab = 64})"},

  -- ---- training ----
  {"train", "train(m, d, {steps=1000, batch=16, lr=1e-3, ...}) -> r",
   "Start to train model m on the data set d and return the run at once; it goes on in a thread "
    .. "of its own. The run has a directory from its first moment on, runs/NAME/ "
    .. "(SWITCHYARD_RUNS, --runs), with its configuration, code, series, journal and checkpoints: "
    .. "see train.resume. A script waits for its runs before it ends. Any of lr, clip, batch ... "
    .. "can be changed while it goes on: r.lr = 3e-4 holds from the next step; batch, context and "
    .. "accumulate trace and plan again; seed and optimizer are fixed. Where a change has no "
    .. "effect any more (of a warm-up that is over, of lr when the rate has come to min_lr), a "
    .. "line says so. A validation part shorter than context + 1 is no validation, and a line "
    .. "says so. sampling: random windows begin anywhere, drawn with replacement; epoch takes "
    .. "every window once a pass over the text, shuffled anew for each, of which each begins at "
    .. "an offset of its own: up to a window's tokens at the text's ends are left out of a pass; "
    .. "sequential goes in order, over and over. The windows drawn so far are counted and are the "
    .. "run's place in the data: each step takes the next batch * accumulate, so when these "
    .. "change nothing is seen twice or left out, and a step that is skipped has used its own up. "
    .. "When context changes, sequential goes on at the token that it had come to, and epoch "
    .. "begins a new pass. After r.steps = n the learning rate goes on from where it stands to "
    .. "min_lr at the new end, without a jump (wsd: it stays until the last decay share of all "
    .. "steps); what had come to min_lr stays there, and a line says so: go back with r:rewind, "
    .. "or set r.lr and r.schedule = \"constant\", for another rate. A run that was done or "
    .. "paused then needs r:resume(); n below its step is refused. A step whose loss or gradient "
    .. "is not finite is skipped; max_skips of them in a row end the run in state failed with the "
    .. "parameters from before. A step whose loss is over what is usual by more than skip_sigma "
    .. "deviations and skip_sigma / 20 nats is skipped as well (see r:why); after three of these "
    .. "in a row the next is learned from, so this never ends a run. 30 is from 390 runs of small "
    .. "models: ordinary text came to 26 deviations and 1.7 nats, a text learned by heart to 0.6 "
    .. "nats, a document of noise in a batch of 2 to 34 and 1.9; fewer than 128 tokens a step "
    .. "make it less sure. A gradient norm is a reason from 1,000 times clip on: below, clipping "
    .. "sees to it. What an optimizer counts as its updates is without what was skipped. teacher: "
    .. "the loss is (1 - distill) times what it would be without, and distill times the square of "
    .. "distill_temperature (t) times the mean cross entropy from softmax(teacher's logits / t) to "
    .. "softmax(m's logits / t), which is the series distill_loss; r.loss and r.val_loss stay what "
    .. "they are. The teacher is copied when the run begins and kept in its directory, teacher/; "
    .. "it is evaluated in each step, which has a third of its FLOPs more, and m's logits are held "
    .. "whole. r.distill may change; r.teacher is the copy. Errors: an unknown option, a "
    .. "value out of range, text shorter than a window, a vocabulary smaller than the data's, data "
    .. "of another tokenizer than the model's, a teacher of another vocabulary, tokenizer or "
    .. "shorter context, a model that another run trains, a name that "
    .. "exists on disk. Sources: " .. optimizer_sources(),
   "r:stop():wait()\ntrain(m, d, {steps = 2, batch = 2, eval_every = 0}):wait()",
   options = "train"},
  {"train.resume", "train.resume(name, {steps=, force=, code=, data=, paused=}) -> r",
   "Go on with a run that ended or was killed, in this process and from its newest checkpoint "
    .. "that verifies, to the very bits that it would have had. name is that of a run, or the "
    .. "path of its directory. What was changed after that checkpoint is changed again at its "
    .. "step. Data, tokenizer, program or kernels that are not as they were are named in an "
    .. "error; force goes on all the same and writes that into the journal. code = true runs the "
    .. "stored script up to its first train(), and what was typed behind that and defines "
    .. "something; data gives the data set where it cannot be read again. steps = n is "
    .. "r.steps = n (see train). What the run had done by the rules of an older program stays so, "
    .. "and what comes is by those of now; the journal says where. Errors: a run that is open, "
    .. "here or in another process (which is named); a checkpoint in its directory that is "
    .. "another run's.", nil,
   options = "train.resume"},
  {"replay", "replay(name, {step=, code=, data=}) -> {identical=, step=, difference=, text=}",
   "Repeat a run from its beginning with the entries of its journal, in memory, and compare "
    .. "losses bit by bit at every stored step and parameters and optimizer at every checkpoint. "
    .. "step is the last that was compared, or the first that differs. On any number of threads "
    .. "and any kernel set a run of fp32 is identical; one of bf16 where bf16 is multiplied in "
    .. "the same way.", nil, options = "replay"},
  {"every", "every(r, n, function(r) ... end) -> hook",
   "Call the function after every n-th step of the run, between two steps: it may read and change "
    .. "the run. An error in it is told and pauses the run. hook:remove() takes it away, hooks(r) "
    .. "lists those of a run.", "every(r, 100, function(r) print(r.step, r.loss) end)"},
  {"alarm", "alarm(r, {when=, run=, every=, again=, name=}) -> alarm",
   "An alarm that acts: when its condition begins to hold, its actions are done between that step "
    .. "and the next, once an episode. " .. acting() .. " What an action changes is in the journal "
    .. "as ever, behind an entry that names the alarm, so a replay needs no alarms; while steps "
    .. "are repeated (resume, rewind, replay) none acts. An error in one is told and the run goes "
    .. "on. alarms(r) lists them, a:remove() takes one away; a.fired, a.last and a.text are how "
    .. "often, when and why it acted. A run that goes on in another process has those of names "
    .. "again; those with functions are not stored, which is said; a fork has none.",
   "alarm(r, {when = {\"dead\", \"collapse\"}, run = \"pause\"}):remove()\n"
    .. "alarm(r, {when = function(r) return r.loss < 2 end, "
    .. "run = {set = {lr = 1e-4}}}):remove()", options = "alarm"},
  {"runs", "runs() -> list    runs(name) -> r",
   "The runs of this session and those on disk, or one of them. A stored run can be read (r.loss, "
    .. "r.config, r.samples, r:history, r:series, r:journal, r:events), and train.resume makes it "
    .. "live. Errors: an unknown name.", "runs()"},
  {"compare", "compare{r1, \"name\", ...} -> table",
   "Runs side by side, live ones and names of stored ones: state, step, losses (nats a token), "
    .. "learning rate, tokens a second, share of the machine's peak (mfu); and the options that "
    .. "they were started with, where they differ.", "compare{r}"},
  {"bakeoff", "bakeoff{routers=, data=, model=, budget=, seeds=3, name=} -> b",
   "Train routers under an equal budget, {flops = x}, {tokens = n} or {seconds = s} of each one's "
    .. "own training, and compare them. routers are names, {name, option = value}, or {label =, "
    .. "router =, ...} with options of model.moe of their own (balance, capacity, top_k). Added by "
    .. "itself, each only once: dense-active and dense-total, dense models with as many active and "
    .. "as many parameters; hash, and random, a router that never learns, both without balance "
    .. "losses. model has what all have of model.moe, train what all have of train. The same seed "
    .. "is the same windows of the data for all. First the plan is printed, with the time that it "
    .. "will take; then one run after another has the machine, in the folder NAME where runs are "
    .. "kept, and the panel draws them all. The call lasts as long as they do. Ctrl-C pauses it; "
    .. "the same call goes on, also after the process was killed, and when all is over it only "
    .. "reads. b:table() has loss, cost, ratios at equal loss and balance; b:save \"b.md\" "
    .. "\"b.svg\" writes them. Errors: an unknown router, no data, a budget that is not one or "
    .. "that is too small for a step, a folder that holds another's, whatever train and model.moe "
    .. "refuse.",
   nil, options = "bakeoff"},
  {"bakeoff:table", "b:table() -> rows",
   "Rows of a bake-off, which print as its tables, as wide as the terminal: entrant, kind, total "
    .. "and active parameters, steps, flops, seconds, tok_s, loss (nats a token of the "
    .. "validation part at the end, without auxiliary losses, mean of the seeds), deviation, best, "
    .. "curve (the means at each evaluation: step, tokens, flops, seconds, loss, low, high), "
    .. "ratios (at b.levels, three losses of dense-active: what it needs for them by what the "
    .. "entrant needs; flops and seconds are nil where the loss is not reached, and least is true "
    .. "where it was before the first evaluation), and of the last tenth of the steps max_mean, "
    .. "max_vio, drop and dead. b.records has the runs one by one."},
  {"bakeoff:save", "b:save(path, ..., {log=false}) -> saved; or nil, message, code",
   "Write a bake-off as Markdown (.md), CSV (.csv) or charts of the loss against tokens, FLOPs and "
    .. "seconds (.svg; log: logarithmic axes), each whole or not at all. b:save \"b.md\" \"b.svg\" "
    .. "writes both."},
  {"run",
   "r.step  r.state  r.loss  r.total_loss  r.val_loss  r.tok_s  r.mfu  r.tokens  r.grad_norm  "
    .. "r.current_lr  r.eta  r.dead  r.disabled  r.name",
   "A run. state: running, paused, done, stopped or failed (then r.error says why). loss and "
    .. "val_loss are nats a token without auxiliary losses; tok_s tokens a second; mfu the share "
    .. "of the FMA peak measured on this machine, nil where the number of experts a token varies; "
    .. "eta seconds. total_loss is what is minimized, the loss with what is added to it. dead "
    .. "counts the enabled experts of all layers without a token at the last step, disabled those "
    .. "that are disabled now. val_loss is nil before the first "
    .. "evaluation. These can be set, r.lr = x: " .. settable() .. "; and the inputs of the "
    .. "model (m.inputs), of a mixture r.aux, r.z and what else its router and balance rules read "
    .. "anew at each step. What the program is made with (scope, jitter, policy ...) is fixed for "
    .. "the run, which r.scope says. All else can only be read; "
    .. "steps can only be set: r:steps(n) does n more.",
   "r.step, r.state"},
  {"run.layers", "r.layers[l].load -> tensor (E)    r.layers[l].experts[e]",
   "Load of the experts at the last step as a fraction of a fair share: 1 is fair, 0 is unused. "
    .. "nil for a layer without experts. l and e count from 1. Of a layer with several mixtures "
    .. "these are the first's; r.layers[l].mixtures[i] has name, load and experts of each.",
   "r.layers[1].load"},
  {"run.router", "r.router    r.router = \"deepseek_v3\"    r.router = {\"sigmoid\", scale = 2}",
   "Another router for all mixtures of a live run, traced again between two steps and written "
    .. "into the journal. What both have stays (gate.weight and what the optimizer keeps of it, "
    .. "states); states of the new one alone begin as its init says; coefficients of balance rules "
    .. "begin as the new router's own, each change an entry, too; top_k and capacity stay. "
    .. "Errors: one that cannot have them, or would see later tokens; one whose parameters are "
    .. "others than the run has (noisy_topk, gpt_oss, top_p, zero_experts, hash: they are laid "
    .. "out when it begins).",
   "r.router"},
  {"run:wait", "r:wait(step) -> r",
   "Wait until the run has done that step, or has ended or paused: with a step behind its end, or "
    .. "without one, then. Ctrl-C ends the wait, not the run. Errors: a step below 0.",
   "r:wait(3).step"},
  {"run:pause", "r:pause() -> r",
   "Stop after the step that is being done; r:resume() goes on. Where that takes long, a line "
    .. "says which micro-batch it is at.", "r:pause():wait().state"},
  {"run:resume", "r:resume() -> r",
   "Go on after r:pause(), r:steps(n) or r:stop(); after r.steps = n a run that was done goes on "
    .. "as well.", "r:resume()"},
  {"run:stop", "r:stop() -> r",
   "End the run. A step that is being done is given up: it is as if it had never begun, and "
    .. "r:resume() or another process does it anew. An evaluation that is not over 2 seconds "
    .. "later is left out, and a line says so.", "r:stop():wait().state"},
  {"run:close", "r:close()",
   "Stop the run and give back its memory: gradients, optimizer, activations, series. The model "
    .. "stays.",
   'train(model.dense{layers = 1, dim = 8, heads = 2, vocab = d.vocab, context = 8}, d,'
   .. ' {steps = 1, batch = 1, context = 8, name = "brief"}):wait():close()'},
  {"run:steps", "r:steps(n) -> r", "Do n more steps, then pause.", "r:steps(1):wait().step"},
  {"run:eval", "r:eval(batches) -> number",
   "Nats a token on the validation part, without auxiliary losses, over batches (unless given: "
    .. "eval_batches) of 16 windows of context tokens. The windows are the first so many of a "
    .. "shuffled list of all that fit into the validation part, or all of them: they depend on "
    .. "the text and the context, not on batch, seed or sampling. Experts drop no token in an "
    .. "evaluation but where capacity = {eval = x} says so. Equal parameters give equal "
    .. "numbers.", "r:eval(2)"},
  {"run:sample", "r:sample(prompt, options) -> text", "m:generate between two steps.",
   "r:sample({1, 2}, {tokens = 3})"},
  {"run:note", "r:note(text) -> r", "Write a line of at most 511 bytes into the run's journal.",
   'r:note "the loss fell here"'},
  {"run:journal", "r:journal() -> list of {step=, key=, kind=, value=, values=, text=, who=}",
   "What was changed or noted, and after which step: key is the name of what was set, value (of a "
    .. "tensor values) what it was set to; who did it: \"\" is whoever sits at the prompt, the "
    .. "script, or the run by a rule of its own.",
   "r:journal()[1]"},
  {"run:events", "r:events() -> list of {step=, time=, kind=, text=}",
   "What happened to the run and is no change of it: alarms, checkpoints, pauses, ends, resumes, "
    .. "rewinds; all that were stored.", "#r:events()"},
  {"run:checkpoint", "r:checkpoint() -> path",
   "Write parameters, optimizer, states, step and journal into a folder below r.dir, between two "
    .. "steps, and verify it; checkpoint_every and the run's end do the same. Failure: nil, "
    .. "message, code."},
  {"run:rewind", "r:rewind(step) -> r",
   "Exactly the state after that step, paused: parameters, optimizer, data order, "
    .. "hyper-parameters, journal. The nearest checkpoint below is loaded and the steps between "
    .. "are done again "
    .. "(hooks are not called); later entries of the journal, series and checkpoints leave the "
    .. "run. Step 0 is its beginning. When anything fails, or Ctrl-C ends it, the run is as it "
    .. "was before. Errors: a step not yet trained; a disk too full to keep the state of now "
    .. "meanwhile.", "s = r.step\nr:rewind(s - 1).step"},
  {"run:fork", "r:fork{step=, name=, paused=} -> r2",
   "A new run that leaves this one after that step (unless given: now) and trains at once, with a "
    .. "model of its own; r is untouched. It is as that step ended: what was set then, before the "
    .. "next one (r:rewind(800), then r.lr = 5e-4), is not in r:fork{step = 800}; r:fork{} has "
    .. "all that was set until now. Checkpoints are shared by hard links; the series up to that "
    .. "step are copied.", 'r:fork{name = "other"}:wait(r.step + 1):close()', options = "run:fork"},
  {"run:hash", "r:hash() -> string",
   "16 hex digits of parameters, optimizer and states. Equal hashes are equal runs: for fp32 the "
    .. "same under any number of threads and on every kernel set.", "r:hash()"},
  {"run:history", "r:history(name) -> tensor (n,2) of step, value, or (n,1+E) of step and E values",
   "A stored series as f64: loss, val_loss, lr, tok_s, grad_norm, load.2 ... (see r:series()). "
    .. "load.2 has the E values of layer 2 behind the step, load.2.5 that of its expert 5. The "
    .. "health of layer L, from 1, at each step: load.L, tokens of each expert, of a fair share "
    .. "(E values); disabled.L, 1 of each expert that someone disabled (E values, at steps where "
    .. "there is one); entropy.L of the loads, in nats; gate.L, mean probability of each expert (E "
    .. "values, at step 1, every 10th and where a step stood out); gate_entropy.L, mean entropy "
    .. "of a token's probabilities; confidence.L, mean of a token's largest gate; drop.L, share "
    .. "of assignments without a slot (capacity); dropped.L, the same of each expert's own (E "
    .. "values, as gate.L); rerouted.L, share that another expert took "
    .. "(drop = \"reroute\"); experts_per_token.L, their mean, where the router has no fixed "
    .. "number (top_p, relu, expert_threshold ...); source_load.L, of data with several sources "
    .. "the load of each source (S*E values, at most 16384, as gate.L); bias.L, from the smallest "
    .. "to the largest bias (sigmoid router); balance.L and z.L, the auxiliary losses without "
    .. "their weights; total_loss, what is minimized: loss and these by their weights (and "
    .. "label_smoothing, z_loss, distill); grad_norm.L of all its parameters, grad_norm.router.L, "
    .. "grad_norm.experts.L (E values, as gate.L). grad_norm.embed_tokens and the like: outside "
    .. "of layers. At step 1 and every health_every-th, of its first micro-batch: margin.L, "
    .. "close.L, bf16_changed.L, logsumexp.L, grad_norm.router_lm.L and "
    .. "grad_norm.router_balance.L (see r:health). importance.L, gates of each expert (E values, "
    .. "as gate.L); bias_mean.L. "
    .. "skipped: see r:why. Figures that are computed of the loads when asked for have "
    .. "names of the same form, max_vio.L and its like: see r:health. Errors: an unknown series.",
    'r:history "loss"'},
  {"run:why", "r:why(step) -> table, printed as a card",
   "What is known of a step (default: the newest that stood out): its loss and gradient norm "
    .. "against the 128 steps before (mean is what was usual: the median of the last 32; a "
    .. "deviation is the median change of a step), the layers and experts with the largest "
    .. "gradients, the routers, the sequences with their documents and texts (of pairs all "
    .. "that stand in one), and what the journal says of the 50 steps before. Where a step stood "
    .. "out, the loss of each sequence alone (of more than 8 that of the worst). Which sequences "
    .. "a step saw is not known any more when the data was exchanged later (train.resume with "
    .. "force). Skipped are single steps: the step counts, nothing is learned from it, and it is "
    .. "in the journal and in the series skipped (1 loss, 2 gradient norm, 3 not finite, 4 left "
    .. "out by a journal). For 64 steps after a change of the run only what is not finite is "
    .. "skipped.", "r:why(1)"},
  {"run:alarms", "r:alarms() -> list of {id=, name=, condition=, span=, on=, step=, text=}",
   "The alarms there are, and what each said last. An alarm is told once an episode, and once in "
    .. "1,000 steps; span: steps that its condition is made of. ?alarm has some act.",
   "r:alarms()"},
  {"run:health", "r:health() -> list of tables, one a mixture, printed by layers",
   "How the routers are at the newest step: of each mixture its layer, name, step, and figures "
    .. "by their names; steps has the step of what is older, for what is costly or wide is kept "
    .. "at few steps. Of runs on disk as well (runs \"NAME\"). What a router does not have is "
    .. "absent. r:history(\"NAME.L\") is a figure's whole course in layer L (of router_norm "
    .. "grad_norm.router.L, of expert_norm grad_norm.experts.L). x are the loads of the n enabled "
    .. "experts, p = x / sum x, s a token's scores. "
    .. require("switchyard.lab.health").text(), "r:health()"},
  {"run:series", "r:series() -> list of names", "Names of the series that r:history knows.",
   "r:series()"},
  {"run:profile", "r:profile() -> text",
   "Seconds and calls of each kind of operation since the last call.",
   "r:profile()"},

  -- ---- experts of a run ----
  {"expert", "x = r.layers[l].experts[e]",
   "One expert of a live run; what is done to it falls between two steps and into the journal.",
   "r.layers[1].experts[2]"},
  {"expert:disable", "x:disable() -> x",
   "Send no token to the expert from the next step on. Errors: fewer than top_k would remain in "
    .. "the layer.", "r.layers[1].experts[2]:disable()"},
  {"expert:enable", "x:enable() -> x", "Undo disable.", "r.layers[1].experts[2]:enable()"},
  {"expert:freeze", "x:freeze() -> x", "Leave the expert's parameters as they are.",
   "r.layers[1].experts[2]:freeze()"},
  {"expert:unfreeze", "x:unfreeze() -> x", "Undo freeze.", "r.layers[1].experts[2]:unfreeze()"},
  {"expert:reset", "x:reset() -> x",
   "Draw the expert's parameters anew, each by its own init (nn.param), and clear "
    .. "what the optimizer keeps of them.",
   "r.layers[1].experts[2]:reset()"},
  {"expert:clone", "x:clone(to, {noise=0, router=true}) -> x",
   "Expert `to` of the layer becomes a copy of x: parameters, biases, what the optimizer keeps of "
    .. "them, and with router its row of the router (of parameters gate.NAME and states those with "
    .. "a line an expert), so that the two are offered the same tokens and learn apart: as where a "
    .. "mixture grows by experts that are split (router = false: the row stays, as in sparse "
    .. "upcycling, Komatsuzaki et al. 2023, where experts are equal and the router is another). "
    .. "noise: to each parameter a normal is added, drawn by the entry of the journal, whose "
    .. "deviation is that share of the root of its mean square. Whether `to` is enabled stays. "
    .. "Errors: `to` or the router is frozen.",
   "r.layers[1].experts[2]:clone(1, {noise = 1e-3})"},
  {"expert:swap", "x:swap(y) -> x",
   "Experts x and y (its number, or the expert) change places, with their rows of the router, "
    .. "states, masks, frozen parameters and what the optimizer keeps: what is computed stays. "
    .. "Errors: a router for which their order matters (by token id, or by groups).",
   "r.layers[1].experts[2]:swap(1)"},
  {"expert:merge", "x:merge(y, {share=0.5, router=true}) -> x",
   "x becomes share of itself and the rest of y: parameters, rows of the router, states, and what "
    .. "the optimizer keeps, moments and squares alike; y is disabled, and stays as it was. "
    .. 'share = "load" goes by the tokens that each had at the last step (Li et al. 2024). Errors: '
    .. "fewer than top_k would remain enabled; either is frozen, or the router (router = false: "
    .. "its rows stay); x is disabled.",
   "r.layers[1].experts[1]:enable() r.layers[1].experts[3]:merge(4)"},
  {"expert:force", "x:force{ids} -> x",
   "From the next step on, in training, evaluation and generation, a token with one of these ids "
    .. "(from 0) always goes to x, beside the other experts that the router chooses for it; {} "
    .. "undoes it. The gate is the router's own, and the gradient flows as ever. Each call says "
    .. "all ids of this expert; a model that is saved has them, and transformers cannot load it. "
    .. "Errors: a router that does not choose K experts for a token (expert_choice, top_p, relu); "
    .. "a token would be forced to more than top_k experts.",
   "r.layers[1].experts[2]:force{5, 6} r.layers[1].experts[2]:force{}"},
  {"expert:forbid", "x:forbid{ids} -> x",
   "The same of tokens that never go to x. Where the router goes by another rule than the largest "
    .. "scores (hash, sinkhorn), the largest logit of the others takes its place, or without "
    .. "logits the lowest number. Errors: a token would have fewer than top_k experts to choose "
    .. "among.",
   "r.layers[1].experts[2]:forbid{7} r.layers[1].experts[2]:forbid{}"},
  {"router:freeze", "r.layers[l].router:freeze() -> x",
   "Leave the router's parameters as they are, from the next step on and into the journal. A "
    .. "router that is never to learn: router = {\"softmax\", frozen = true}.",
   "r.layers[1].router:freeze()"},
  {"router:unfreeze", "r.layers[l].router:unfreeze() -> x", "Undo freeze.",
   "r.layers[1].router:unfreeze()"},

  -- ---- nn ----
  {"nn", "nn.linear nn.attention nn.moe nn.param nn.state nn.observe nn.input ...",
   "What models are made of: plain functions over tensors and named parameters, for use inside a "
    .. "model's function. B batch, T tokens of a sequence, C width, H heads, D head width, E "
    .. "experts, K experts a token, F expert width, V vocabulary.",
   "nn.rmsnorm(a, tensor.ones(3))"},
  {"nn.param", "nn.param(name, shape, init=0.02, {experts=, active=, role=, frozen=}) -> tensor",
   "The parameter of this name under the scopes around it, f32, made when the model is. init is "
    .. "the deviation of a normal, \"zeros\", \"ones\", {\"normal\", deviation}, {\"truncated\", "
    .. "deviation} (a normal cut at two of it), {\"uniform\", bound} or {\"orthogonal\", gain} "
    .. "(orthonormal rows or columns, of each matrix of experts); those in braces are functions of "
    .. "the model's seed and the parameter's name alone. With experts the first dimension counts "
    .. "experts, of which a token uses active (for m:count). role is what it is: weight, router, "
    .. "expert, embedding, head, bias (no weight decay); by default expert with experts, embedding "
    .. "or head where nn.embedding or nn.head uses it, else weight. frozen: it stays what it "
    .. "begins with, and no gradient of it is computed. Errors: outside a model's function; a name "
    .. "that was not there when the model was made."},
  {"nn.state", "nn.state(name, t) -> tensor",
   "A tensor that belongs to the model and is no parameter (a router's bias, running loads): no "
    .. "gradient. nn.update sets it."},
  {"nn.update", "nn.update(state, value)",
   "Set a state at the end of each training step; with accumulate to what value is in the last "
    .. "micro-batch (see nn.step_sum)."},
  {"nn.step_sum", "nn.step_sum(name, x) -> tensor",
   "The sum of x over the step's micro-batches up to this one; x itself when accumulate is 1. For "
    .. "updates of states that shall see the whole step."},
  {"nn.step", "nn.step() -> tensor",
   "A scalar that is read anew at every step: the number of the step that is computed, from 1; "
    .. "elsewhere (evaluation, generation) the steps done. What is made of it, a warm-up or a "
    .. "schedule, is the same in resume, rewind, replay and fork."},
  {"nn.micro_batches", "nn.micro_batches() -> number",
   "Micro-batches of a step (accumulate) in training, else 1."},
  {"nn.observe", "nn.observe(name, x, {kind=})",
   "Put a scalar or a vector out at every training step; r:history(name) has it then. Inside "
    .. "nn.layer the layer's number is appended: load.2; in a layer's second mixture its name as "
    .. "well: load.2.memory. kind says what x is, by which it is drawn, stored and watched: "
    .. "value, or load, gate, dropped (E values), entropy, gate_entropy, confidence, bias, drop, "
    .. "rerouted, experts_per_token, balance, z, loss, norm ...; by default the kind of this name, "
    .. "else value."},
  {"nn.input", "nn.input(name, default, least, most) -> tensor",
   "A number or a tensor (f32) that is read anew at every step: r[name] = value changes it while "
    .. "the run goes on, at no cost; least and most, if given, are what it may be set to. A "
    .. "tensor's name gets the layer's number inside nn.layer."},
  {"nn.loss", "nn.loss(name, value, weight)",
   "Add value * weight (scalars) to the training loss, never to an evaluation's, and observe "
    .. "value under name."},
  {"nn.scope", "nn.scope(name, f, ...) -> what f returns",
   "Names of parameters made in f begin with name and a dot."},
  {"nn.layer", "nn.layer(l, f, {stack=}, ...) -> what f returns",
   "As nn.scope(\"model.layers.(l-1)\"); l, from 1, is what r.layers and the names of series "
    .. "count by. {stack = \"encoder\"} before f's own arguments: layer l, counted through all "
    .. "stacks, is the encoder's next; its parameters are under encoder.layers.0 and so on, its "
    .. "label is \"enc 1\"."},
  {"nn.initializer", "nn.initializer(f)",
   "What parameters that are made from here on begin with is f(name, shape, init), name being the "
    .. "whole name and init what their layer says, instead of init (see nn.param)."},
  {"nn.memory", "nn.memory(f, ...) -> what f returns, (B,S,C)",
   "What an encoder makes of batch.inputs, for nn.attention with memory=. In f no cache is used "
    .. "and attention may see the whole text; a generation runs it once."},
  {"nn.mode", "nn.mode() -> string",
   "build, train, eval or decode inside a model's function, else nil.", "nn.mode()"},
  {"nn.description", "nn.description() -> d, or nil",
   "The description under which a model's function runs, nil outside; for those who write another "
    .. "kind of layer."},
  {"nn.describe", "nn.describe(d, f, ...) -> two results of f",
   "Run f under the description d (lua/model/model.lua makes them); for those who write another "
    .. "kind of model. The description ends even when f fails."},
  {"nn.linear", "nn.linear(x, w, b) -> y",
   "x (...,C), w (O,C), b (O) or nil -> (...,O): x times w transposed, plus b.",
   "nn.linear(a, tensor.ones(2, 3))"},
  {"nn.embedding", "nn.embedding(ids, w) -> x",
   "ids (B,T) i32, w (V,C) -> (B,T,C). Only inside a model's function; elsewhere "
    .. "w:embedding(ids)."},
  {"nn.rmsnorm", "nn.rmsnorm(x, w, eps=1e-5) -> y",
   "x / rms(x) * w along the last dimension; w (C). Source: Zhang and Sennrich 2019.",
   "nn.rmsnorm(a, tensor.ones(3))"},
  {"nn.layernorm", "nn.layernorm(x, w, b, eps=1e-5) -> y",
   "(x - mean) / deviation * w + b along the last dimension. Source: Ba et al. 2016.",
   "nn.layernorm(a, tensor.ones(3), tensor.zeros(3))"},
  {"nn.gelu", "nn.gelu(x) -> y", "x * Phi(x), Phi the normal distribution function.", "nn.gelu(a)"},
  {"nn.swiglu", "nn.swiglu(gate, up) -> y", "silu(gate) * up. Source: Shazeer 2020.",
   "nn.swiglu(a, b)"},
  {"nn.dropout", "nn.dropout(x, p) -> y",
   "In training a share p of x becomes zero and the rest is scaled by 1/(1-p); elsewhere x "
    .. "itself."},
  {"nn.rope", "nn.rope(x, theta=10000) -> y",
   "Rotary position embedding of x (B,T,H,D), halves rotated. Source: Su et al. 2021."},
  {"nn.sinusoids", "nn.sinusoids(x, base=10000, documents) -> (1,T,C) or (B,T,C)",
   "Sines (first half of the width) and cosines of the positions of x (B,T,C), to be added to it; "
    .. "with documents (B,T), of the positions in the document, each from 0. Source: "
    .. "Vaswani et al. 2017."},
  {"nn.relative_bias",
   "nn.relative_bias(x, {heads=, buckets=32, distance=128, both=false}) -> (H,2R-1)",
   "What is added to the scores of attention over x (B,T,C), its bias=, by how far the key is from "
    .. "the query: a learnt table (buckets, H), relative_attention_bias. Half of the buckets are "
    .. "of one distance each, the others grow with its logarithm up to distance; both: keys after "
    .. "the query have half of them, else all distances are to keys before it. All layers of a "
    .. "stack may share one. Source: Raffel et al. 2020."},
  {"nn.attention",
   "nn.attention(x, {heads=, kv_heads=, head_dim=, theta=, qk_norm=, mask=, documents=, memory=, "
    .. "memory_documents=, bias=, rope=, scale=, dropout=}) -> y",
   "x (B,T,C) -> (B,T,C): projections, RoPE, causal grouped-query attention (mask=\"full\": every "
    .. "token sees all; mask=\"prefix\": causal, but all see the first batch.prefix of a row; "
    .. "documents=true or (B,T) i32: a token sees only its own document), output "
    .. "projection. memory (B,S,C): keys and values are of it, and all are seen (of the same "
    .. "document in memory_documents (B,S)). bias (H,2R-1): added to the scores by distance "
    .. "(nn.relative_bias). rope: by default where there is neither. scale: of the scores, by "
    .. "default 1/sqrt(D). dropout: share of attention's weights zeroed in training. "
    .. "Makes the parameters q_proj, k_proj, v_proj and o_proj. Source: Vaswani et al. 2017; "
    .. "Ainslie et al. 2023."},
  {"nn.ffn", "nn.ffn(x, F, {activation=\"silu\", gated=true, bias=false, dropout=0}) -> y",
   "Feed-forward layer of width F: down(act(gate(x)) * up(x)) with the parameters gate_proj, "
    .. "up_proj and down_proj; gated=false: down(act(up(x))) without gate_proj. activation: silu "
    .. "(SwiGLU), gelu, gelu_tanh, relu, relu2, or swiglu_oai, the clamped one of gpt-oss: g * "
    .. "sigmoid(1.702 g) * (u + 1) with g at most 7, u from -7 to 7. bias: the projections have "
    .. "biases. dropout: in training, of what is between. Source: Shazeer 2020; OpenAI 2025."},
  {"nn.moe",
   "nn.moe(x, {experts=E, top_k=K, expert_dim=F, router=\"softmax\", aux=0.01, z=0.001, "
    .. "capacity=, shared_experts=0, activation=\"silu\", gated=true, expert_bias=false, "
    .. "expert_dropout=0}) -> y",
   "x (...,C) -> (...,C): every token goes to K of E experts, which are as ?nn.ffn says: "
    .. "expert_bias and expert_dropout are its bias and dropout. No token is dropped unless "
    .. "capacity is given, or the router has its own: then an expert takes at most ceil(capacity * "
    .. "N*K/E) of the N tokens of a training batch; evaluation (r:eval, m:loss, m:logits) and "
    .. "generation drop none, so that a token's result does not depend on those beside it.\n"
    .. "capacity = {train=, eval=, drop=\"position\", group=, least=, multiple=} says more: train "
    .. "and eval are the factors (none: nothing is dropped); in training each group of so "
    .. "many tokens (of all N) is apart, in evaluation each sequence; least is the fewest places, "
    .. "which are "
    .. "a multiple of `multiple`. drop says who "
    .. "has none when first choices are served before second ones: position, the later tokens; "
    .. "random, those that a draw of the seed and step says; probability, those whose largest "
    .. "score is smaller; reroute: as position, but a choice without a place asks its token's next "
    .. "best experts, four times, and its gate goes by that one's score. All but position show "
    .. "later tokens, and are refused for next-token training unless allow_leak = true stands "
    .. "beside them; position shows them by second choices alone, which is said where top_k is "
    .. "over 1. A number is train, and leaves what else the router's own capacity has; "
    .. "r.capacity = x sets it while it runs; false is none. "
    .. "The router computes in fp32. "
    .. "Observes what ?run:history lists. Source: Shazeer et al. 2017; Fedus et al. 2021 "
    .. "(balance); Zoph et al. 2022 (z)."},
  {"nn.record", "nn.record(r) -> recorder",
   "Takes down which experts the tokens of run r choose, from its next step on, each micro-batch "
    .. "of each layer; r's model has router = {\"record\", \"softmax\"}. They are kept in memory, "
    .. "and "
    .. "tostring(recorder) says how much it is. recorder:save(path), path ending in .safetensors, "
    .. "writes them and ends the recording: about, i32 (version, E, K, micro-batches of a step, "
    .. "first step); router, its name and options in u8; routing.L, f16 (steps * micro-batches, "
    .. "tokens * K), experts from 1, negative where the router left it out. router = {\"replay\", "
    .. "path} forces them in another run. Errors: the model has another router; a step that is "
    .. "missing; mixtures of several kinds."},
  {"nn.padding", "nn.padding(documents)",
   "Tokens whose document (B,T) is negative are padding: no mixture from here on routes them, and "
    .. "they are in no load, mean or drop rate. nil: none is. A slot's number (capacity) goes by "
    .. "all tokens. A router sees which they are by ctx:padding() (N) bool."},
  {"nn.model_state", "nn.model_state(name, t) -> tensor",
   "As nn.state, but one of the whole model, whichever layer asks for it: a threshold that all "
    .. "layers go by. Read it where tokens are routed, and update it in what nn.of_layers runs."},
  {"nn.of_layers", "nn.of_layers(name, t, f)",
   "What layers have in common: t, anything, is collected under the name from each layer that "
    .. "calls it, and when the model's function has returned, f(list) runs once, outside of all "
    .. "layers: nn.update, nn.step_sum and nn.observe there are of the model. As router top_p "
    .. "steers one threshold by the counts of all layers."},
  {"nn.remark", "nn.remark(text)",
   "A line that is said once, before the model is trained: what one is to know of it."},
  {"nn.router",
   "nn.router(name, {rule=, doc=, source=, paper=, rows=, gives=, balance=, of_mean=, model=, "
    .. "causal=, leak=, frozen=, varies=, scoped=, normalized=, capacity=, check=, reach=, "
    .. "positional=, like=, except=, route=function(ctx)})",
   "A router of one's own, in the form of the program's (lua/routers/): router = \"name\" or "
    .. "{\"name\", option = value} uses it then, and routers(), ?name and completion know it. rows "
    .. "are its options, {name, type, default, least, most, help = text}; gives says what balance "
    .. "rules may ask of it (\"logits scores\", and bias where it calls ctx:bias()); balance has "
    .. "its own defaults of their coefficients, of_mean such as are divided by the number of "
    .. "layers with experts, model of top_k, capacity, activation and "
    .. "expert_bias; causal = false with leak, a text, refuses to generate, and to train for the "
    .. "next token unless allow_leak; frozen = true, the weight of its logits stays as it was "
    .. "drawn (without it that is an option of a router that gives logits); varies = true, a token "
    .. "may have any number of experts, whose "
    .. "mean is then the series experts_per_token.L; scoped = true, a loss of its own goes by "
    .. "balance = {scope =}; normalized, of one without an option normalize: do a token's gates "
    .. "sum to 1; capacity, a text, says why it has none; "
    .. "check(E, K, options) returns what is wrong, or nil; reach(on, options), of one that does "
    .. "not choose among all experts: of those of the list on that are true, how many a token "
    .. "chooses among at the least, under which none can be disabled; "
    .. "positional, the option that {\"name\", "
    .. "value} means; like(options), of one that stands for another, that one; paper has its "
    .. "paper's defaults as the "
    .. "paper counts; except = {one=, order=, ties=, decode=, step=, gradient=, alone=}, texts, "
    .. "says why what holds of "
    .. "other routers does not of this one.\nroute is recorded once for each layer, shape and "
    .. "mode: what it computes must be operations on what ctx gives. ctx.x (N,C), the layer's "
    .. "input; ctx.E, K, N, B, T, mode, layer; ctx.options; ctx:logits{x=, w=, b=, init=, extra=, "
    .. "plus=} (N,E + extra), f32, -inf of a disabled expert (plus: a function whose result is "
    .. "added), w of which is ctx:weight(); ctx:linear(x, w, b), in f32; ctx:choose(scores), a "
    .. "token's K largest and whose they are, of equal ones the lower; ctx:take(experts), K of a "
    .. "token that another rule chose: a recorded trace is forced where one of the two is asked; "
    .. "ctx:mask() (E), which is added to logits, and ctx:enabled() (E), 1, or 0 of a disabled "
    .. "expert; ctx:bias() (E); ctx:numbers() (N,E), the experts' numbers; ctx:ids() (N); "
    .. "ctx:documents() (B,T); ctx:positions() (T); ctx:padding() (N), true of padding, or nil; "
    .. "ctx:count(), how many tokens are none, ctx:mean(x) over these, ctx:sequence_means(x (N,E)) "
    .. "(B,E), the same of each sequence, ctx:without_padding(x, value); "
    .. "ctx:cutoffs(x (N,E), next) (E), what a fair share of the tokens are at or over, or the "
    .. "value after it; ctx:handed(name, x), what the layer before handed on; ctx:balanced(f, g), "
    .. "of a router that balances in training: experts (N,M) of f(groups) there, of g() while a "
    .. "text is written; ctx:setting(name), an option that r.name sets while it runs; "
    .. "ctx:option(name), one that stays, a text or a flag. nn.param, nn.state, nn.update, "
    .. "nn.step_sum, nn.loss, nn.observe and draws "
    .. "(tensor.rand and its like, anew in each step) work inside.\nIt returns {experts = (N,M) "
    .. "i32 from 1, no two of a token the same, gates = (N,M), scores = (N,E) whose rows sum to "
    .. "1}, with fewer = true where experts has zeros, which are none (both are looked at at every "
    .. "step, and refused with layer, token and expert); or {chosen = (N,E) bool, gates = (N,E), "
    .. "slots = n}, "
    .. "where at most n are chosen in all (memory is for so many; N*E without it). And gate_on = "
    .. "\"input\", for one expert a token: the gate multiplies what it is given; plus = (N,C), "
    .. "added to the output; update = function(load), after a step; loss = function(), which adds "
    .. "its own loss (nn.loss) where what ?nn.balance lists is known; counted = (N,M), what "
    .. "balance "
    .. "losses take for the experts where that is others; chance = (N,E), of being chosen by "
    .. "another draw; gives, in a layer that gives less. examples/router.lua adds one. It may be "
    .. "defined again under its name. Errors: the name of one of the program's; a name that is "
    .. "more than letters, digits and _, or one of Lua's words.",
   "nn.router(\"mine\", {rule = \"softplus of the logits\", route = function(ctx)\n"
    .. "  local s = ctx:logits():softplus()\n"
    .. "  local gates, experts = s:topk(ctx.K, -1)\n"
    .. "  local scores = s / s:sum(-1, true)\n"
    .. "  return {gates = nn.normalize_gates(gates), experts = experts, scores = scores}\n"
    .. "end})"},
  {"nn.balance",
   "nn.balance(name, {doc=, source=, needs=, of_weight=, rows=, loss=function(ctx, routing), "
    .. "update=function(ctx, load)})",
   "A balance rule of one's own, in the form of the program's (lua/balance/). Its rows' names are "
    .. "fields of balance= in model.moe and of nn.moe. It goes with every router that gives what "
    .. "it needs (logits, scores, bias or chance), and is in force where its first row has a "
    .. "value: a default, the router's, or one in balance=. of_weight = true: its loss moves the "
    .. "weight of the logits alone, so beside frozen = true it is refused. loss adds to the "
    .. "training loss "
    .. "(nn.loss) from ctx, as in ?nn.router, and routing: load (E), the shares of the assignments "
    .. "before any drop, importance (E), the mean scores, experts, gates, scores, logits. "
    .. "update(ctx, load) "
    .. "is given the loads of the whole step. ctx:scope() is what balance={scope=} says: micro, "
    .. "sequence, group or step. ctx:load(scope) is \"micro\" (E), \"sequence\" (B,E), "
    .. "\"group\" (groups,E), those that capacity keeps apart, \"step\" (E), of the whole step "
    .. "(with accumulate over 1 a forward pass more counts it before), or "
    .. "\"so_far\" (E), of the step's micro-batches up to this one; ctx:whole(name, x) is the sum "
    .. "of x over the whole step, likewise, ctx:count(\"step\") its tokens (at least 1), "
    .. "ctx:weighed(mean, name) what a mean over this micro-batch's tokens adds to the step's; "
    .. "while the coefficient of that name is 0 nothing is counted for it. Errors: as nn.router.",
   "nn.balance(\"even\", {\n"
    .. "  rows = {{\"even\", \"number\", nil, 0, 1, help = \"weight\"}},\n"
    .. "  loss = function(ctx, routing)\n"
    .. "    local off = (routing.importance - 1 / ctx.E):square():sum()\n"
    .. "    nn.loss(\"even\", off, ctx:setting \"even\")\n"
    .. "  end,\n"
    .. "})"},
  {"nn.routers",
   "nn.routers.name -> router    nn.routers.name = function(logits, K, options) ... return gates, "
    .. "experts, p, update end",
   "Routers by name (routers() lists them; ?nn.router adds one). A function is made a router: it "
    .. "is given logits (N,E), f32, the scores of N = B*T tokens for E experts, -inf for a "
    .. "disabled one; K, experts a token; and options, the table of nn.moe with its defaults "
    .. "(experts, top_k, expert_dim, router, aux, scope, sequence, z, gamma, kind, momentum, "
    .. "recentre, capacity, shared_experts, activation, gated, expert_bias, expert_dropout, "
    .. "normalize, scale). It returns: gates (N,K), the weights of the chosen, "
    .. "through which the gradient goes; experts (N,K), i32 from 1, as topk gives them; p (N,E), "
    .. "whose rows sum to 1, for the balance loss and the series gate.L; and optionally "
    .. "update(load), called in training with the experts' shares of the step's tokens (E), all "
    .. "micro-batches together. A router that goes by logits alone can be called like such a "
    .. "function.",
   "nn.routers.softmax(tensor.randn(5, 4, {seed = 1}), 2, {})"},
  {"nn.balances", "nn.balances.name -> balance rule",
   "Balance rules by name, the program's and those of nn.balance; ?name describes each. A "
    .. "coefficient is a number, which r.NAME sets while a run goes on, or a table that goes by "
    .. "the steps, in the words of the learning rate: {0.01, warmup=0, schedule=\"constant\", "
    .. "steps=, min=0, decay=0.2, last=}: its value, reached after warmup steps, then constant or "
    .. "falling to min at steps (cosine, linear, wsd: over the last decay share); 0 behind the "
    .. "step last. Then r.NAME takes both, the series NAME has what it is at each step, and so may "
    .. "an option of a router whose row has scheduled = true."},
  {"routers", "routers() -> list",
   "The routers as a table of name, experts a token, whether it sees later tokens, source, what it "
    .. "does, and its defaults here and in its paper; of each the fields name, rule, defaults (its "
    .. "options' and those of the balance rules that go with it, in our convention: shares sum to "
    .. "1), paper (those of its paper in the paper's convention, where they differ), causal, "
    .. "source, top_k (its own default, or nil) and varies (whether a token may have another "
    .. "number). ?name tells of one.", "routers()"},
  {"lint", "lint(m or r, {data=, objective=, rows=, length=, lr=}) -> list",
   "Which of the faults that have bitten public projects the mixtures of a model have, or of a run "
    .. "that goes on or is stored, whose data, rate, series and optimizer are looked at too; by "
    .. "numbers and not by names: a few tokens, of data or drawn by lot, go through training and "
    .. "evaluation, with and without what a fault would make a difference to, and losses and "
    .. "gradients are compared. Each finding has fault, layer, evidence (what was measured), cost "
    .. "(what it has cost where), advice (what to change) and what (a line); printed they are a "
    .. "report. The list is empty where nothing is found; what could not be looked at is said "
    .. "with the reason (list.left). Nothing of the model or run changes; a run goes on "
    .. "meanwhile. Each training looks for some by itself after steps 1, 100 and 1,000 (lint = "
    .. "false: not). Errors: a model without experts, a run that is closed. Faults: " .. faults(),
   "lint(m)", options = "lint"},
  {"lint.faults", "lint.faults() -> list",
   "All faults that lint looks for, as {fault=, what=, cost=, advice=}, printed by lines.",
   "lint.faults()"},
  {"nn.normalize_gates", "nn.normalize_gates(gates) -> gates",
   "Gates (N,K) that sum to 1 over the K experts of a token. One gate alone (K = 1) stays as it "
    .. "is: divided by itself it would be 1 whatever the logits are, and no gradient of the loss "
    .. "would reach the router.", "nn.normalize_gates(tensor{{0.3, 0.1}, {0.2, 0.6}})"},
  {"nn.head", "nn.head(x, w) -> result",
   "The result of a model's function: logits of x (B,T,C) and w (V,C), or fused with the cross "
    .. "entropy where a loss is wanted, so that N x V numbers never exist."},

  -- ---- the laboratory ----
  {"trace", "trace(m or r, text or ids, {layers=, precision=, windows=, step=}) -> t",
   "Which experts each token of a text goes to, printed as the text coloured by the expert "
    .. "that weighs most, a block a layer; without colours the expert's number stands under each "
    .. "token. t.layers[l] (or t.layers[\"enc 2\"]) has experts (T,K) i32 from 1, 0: none; placed: "
    .. "the same after capacity; gates (T,K); scores (T,E); margin (T): by how much the last "
    .. "that was chosen is over the next, by what the router goes by; what a router has not is "
    .. "nil; mixtures where there are several. t.losses (T): nats of the token behind each, NaN "
    .. "of the last; t.ranks (T): its place among all that were possible; t.ids, t.text, t.step. "
    .. "It is an evaluation, and a run goes on between two steps. A model with an encoder takes "
    .. "{inputs = text, tokens = text}, and reads its start token first. Of a run that keeps "
    .. "checkpoints step= is one of theirs. Errors: a text longer than the context.",
   'print(trace(m, {1, 2, 3}))', options = "trace"},
  {"trace:at", "t:at(i) -> table, which is printed as one token's story",
   "Token i of a trace: number, id, text, next (the text behind it), loss and rank of that, and "
    .. "layers, a list of label, experts, gates, placed, scores, next (the best three of those "
    .. "that were not chosen: {expert, score}), margin.", 'trace(m, {1, 2, 3}):at(2)'},
  {"trace:counterfactual", "t:counterfactual(i, l, mixture=1) -> losses (E), table",
   "The loss of the token behind token i, had each expert of layer l been in the place of the one "
    .. "of its experts that weighs least; of those that are chosen already the loss as it is, of "
    .. "disabled ones NaN. Exact: gates by the router's own rule, all that follows computed anew, "
    .. "later layers route as they will. By the model as it is now; the table, which is printed as "
    .. "bars, says so where it has learnt since. Refused for routers that give a token any number "
    .. "of experts.", 'trace(m, {1, 2, 3}):counterfactual(2, 1)'},
  {"trace:save", "t:save(path) -> true",
   "Keeps a trace as a .safetensors file, for trace.load and for router = {\"replay\", path}, "
    .. "which forces the choices in evaluation: each token of a row that is the text's, as are all "
    .. "before it, goes to the experts that it went to, with gates by the router. What cannot be "
    .. "forced (several windows, some layers alone, layers of several kinds, any number of "
    .. "experts) is refused there with the reason. Failure: nil, message, code."},
  {"trace.load", "trace.load(path) -> t",
   "A trace of t:save; without a model, so that t:counterfactual is refused. Failure: nil, "
    .. "message, code: a file that is none, in a line."},
  {"trace.diff", "trace.diff(t1, t2) -> {differ=, layers=, tokens=}",
   "Where two traces of one text differ: of two checkpoints, two precisions, two models. differ: "
    .. "the share of tokens and layers whose sets of experts do; layers: a list of label, differ "
    .. "and gates, the sum over the experts of |difference of gates| in the mean over the tokens; "
    .. "tokens: a list of number, text, layers (labels of those in which it differs), loss1, "
    .. "loss2. Refused for other texts and other numbers of experts.",
   'trace.diff(trace(m, {1, 2}), trace(m, {1, 2}, {precision = "bf16"}))'},

  -- ---- others ----
  {"tensor.gradcheck", "tensor.gradcheck(f, {inputs}) -> number",
   "Largest relative error of the gradients of f, a function from tensors to a scalar, against "
    .. "central differences in f64. Small tensors only.",
   "tensor.gradcheck(function(x) return (x * x):sum() end, {tensor.randn(3, {seed = 1, dtype = "
    .. "\"f64\"})})"},
  {"help", "?name    help \"name\"    help(value)    ??name",
   "The entry of a function, a method or a topic, what an option of this name does, and what a "
    .. "term of the field means (?lr, ?capacity, ?mfu); a name of Python's, NumPy's or PyTorch's "
    .. "leads to ours. ??name prints the source of a function that is written in Lua.",
   'help "train"'},
  -- ---- the laboratory ----
  {"specialization", "specialization(m or r, {name = dataset, ...}, {batches=4, seed=1}) -> s",
   "Who is an expert for what: how much the expert of a token says of its domain. The "
    .. "domains are the data sets, or of one data set its sources (data.mix, data.pairs) or the "
    .. "domains of data.synthetic; of a run, without data, those of its own. Of a token's "
    .. "experts each counts as much (1/K), or by its gate. s.layers[i].domain.value is "
    .. "(I(domain; expert) - shuffled) / H(domain), in shares: I is the mutual information in "
    .. "nats of the counts over the windows of the validation part, shuffled is the mean of I "
    .. "under permutations of the labels by seed; raw, shuffled and deviation (of the "
    .. "permutations) stand beside value, information and entropy are I and H. given_token is "
    .. "(I(domain; expert | token) - shuffled) / H(domain | token): what the expert says that "
    .. "the token itself does not; tokens of one domain alone have no part in it, and labels are "
    .. "shuffled among the places of the same token. A figure by domain alone proves nothing "
    .. "where domains have other tokens, and one by tokens nothing at all: compare given_token "
    .. "with that of a model of the same data with router = {\"softmax\", frozen = true}, whose "
    .. "experts also go by what comes before a token. token is (I(token; expert) - shuffled) / "
    .. "H(expert), position (I(eighth of the window; expert) - shuffled) / H(eighth). "
    .. "s.layers[i] has tensors counts, share (of an expert's tokens) and lift (by its share of "
    .. "all), each (domains,E), and load (E); experts[e] has load, domains and tokens, those of "
    .. "which it has most more than its share, each with count and lift. A run that goes on is "
    .. "held only while its model is copied. Printed as tables and heatmaps; s:save \"x.csv\" "
    .. "and s:save \"x.svg\" write them. Errors: a dense model; a single data set of one source. "
    .. "Source: Xue et al. 2024 (OpenMoE); Muennighoff et al. 2025 (OLMoE); the correction: "
    .. "Vinh, Epps and Bailey 2010.",
   "specialization(m, d, {batches = 1}).layers[1].domain.value", options = "specialization"},
  {"coactivation", "coactivation(m or r, d, {layers=, batches=4}) -> c",
   "Which experts are chosen together: c.layers[i].lift (E,E) is p(i,j) / (p(i) p(j)), where "
    .. "p(i) is the share of tokens with expert i among theirs and p(i,j) of those with both; "
    .. "counts are the tokens; strongest lists the pairs of the largest lift; chance is the lift "
    .. "of K of E drawn at random, (K - 1) E / (K (E - 1)). layers = {a, b}: expert i of layer a "
    .. "and j of layer b, in one matrix, whose lift by chance is 1. Printed as a heatmap; c:save "
    .. "\"x.csv\", \"x.svg\". Errors: one expert a token, unless layers is given. Source: "
    .. "Muennighoff et al. 2025 (OLMoE), section 5.2.",
   "coactivation(m, d, {batches = 1}).layers[1].lift", options = "coactivation"},
  {"token_experts", "token_experts(m or r, d, {least=10, batches=4}) -> t",
   "The token-to-expert map: t.tokens[i] has id, text and count of a token that occurs least "
    .. "times, and for each layer of t.layers the expert that it is most often sent to first "
    .. "(experts) and how sure that is (share of its occurrences). Printed with the most "
    .. "frequent tokens first; t:save \"x.csv\".",
   "token_experts(m, d, {batches = 1})", options = "token_experts"},
  {"saturation", "saturation(r, step, {batches=4, data=}) -> s",
   "How early a run's routing is what it is now: s.saturation (steps, layers) is the mean over "
    .. "tokens of |E_t and E_T| / |E_T|, of a token's experts at the checkpoint of step t and as "
    .. "the run is, live or stored; s.chance is K/E. step: one, a list, or nil for all "
    .. "checkpoints before. Both see the same windows of the validation part. Errors: a step "
    .. "without a checkpoint (train's keep says how many there are). Source: Muennighoff et al. "
    .. "2025 (OLMoE), section 5.1.", nil, options = "saturation"},
  {"run:ablate", "r:ablate{batches=4, data=} -> a",
   "The loss without each expert, of a run, live or stored: one evaluation as it is, a.loss, and "
    .. "one for each expert of each layer, disabled in that layer alone. a.layers[i].delta (E) is "
    .. "the loss without it less a.loss, in nats; where the data has several sources (data.mix) "
    .. "or domains (data.synthetic), a.layers[i].by (domains,E) is the same over the targets of "
    .. "each: the causal matrix. saliency (E) is the mean of gate times the norm of what it "
    .. "gives, over the tokens that are sent to it, load (E) its share of the choices. All are of "
    .. "one step and of the same windows as m:loss takes, in fp32; the run is held only while its "
    .. "model is copied, and nothing of it changes. NaN where an expert cannot be disabled; "
    .. "reasons[e] says why: it is already, or fewer than a token needs would remain. Printed as "
    .. "a table and heatmaps; a:save \"x.csv\", \"x.svg\". Errors: a run that is closed, a dense "
    .. "model. Source: of saliency Lasby et al. 2025 (REAP).", "r:ablate{batches = 1}",
   options = "run:ablate"},
  {"model:ablate", "m:ablate{data=, batches=4} -> a",
   "The loss without each expert of a model: as r:ablate, which has the details.",
   "m:ablate{data = d, batches = 1}.layers[1].delta", options = "run:ablate"},
  {"sleep", "sleep(seconds)",
   "Wait. At the prompt the line goes on as a job: the next one can be typed meanwhile.",
   "sleep(0.01)"},
  {"quit", "quit(status=0)", "End the program: live runs are stopped first."},
}

-- Rows {name, type, default, least, most, help=} of the options named in an entry, or nil.
local function rows_of(what)
  if what == "train" then return require("switchyard.run.train").rows() end
  local rows = {
    ["model:generate"] = require("switchyard.model.generate").rows,
    ["model:fill"] = require("switchyard.model.fill").rows,
    ["model:translate"] = require("switchyard.model.translate").rows,
    ["lint"] = require("switchyard.lab.lint").rows,
    ["model:loss"] = require("switchyard.model.model")._loss_rows,
    ["train.resume"] = require("switchyard.run.resume").rows,
    replay = require("switchyard.run.replay").rows,
    trace = require("switchyard.lab.trace").rows,
    alarm = require("switchyard.lab.alarms").rows,
    ["run:fork"] = require("switchyard.run.fork").rows,
    specialization = require("switchyard.lab.specialization").rows,
    saturation = require("switchyard.lab.saturation").rows,
    ["run:ablate"] = require("switchyard.lab.ablation").rows,
    coactivation = require("switchyard.lab.coactivation").rows,
    token_experts = require("switchyard.lab.token_experts").rows,
    bakeoff = require("switchyard.lab.bakeoff").rows,
  }
  if rows[what] then return rows[what] end
  return require("switchyard.model.model")._rows()[what:match "^model%.(.*)$"] or nil
end

local function sentence(before, text)
  return text == "" and "" or (" %s%s."):format(before, text)
end

local function router_doc(r, routing)
  return {
    name = "nn.routers." .. r.name, own = true, options = function() return routing.all_rows(r) end,
    signature = ('router = "%s"    router = {"%s", option = value}'):format(r.name, r.name),
    text = (r.doc ~= "" and r.doc or r.rule)
      .. (r.causal and "" or sentence("Not causal: ", r.leak))
      .. sentence("Where the model says nothing: ", table.concat(routing.of_model(r), ", "))
      .. sentence("", table.concat(routing.exceptions(r), ". "))
      .. sentence("In the paper: ", r.paper) .. sentence("Source: ", r.source),
  }
end

local function rule_doc(rule)
  local names = {}
  for i, row in ipairs(rule.rows) do names[i] = row[1] .. " = x" end
  return {
    name = "nn.balances." .. rule.name, own = true, options = function() return rule.rows end,
    signature = ("balance = {%s}"):format(table.concat(names, ", ")),
    text = rule.doc .. sentence("It needs a router that gives ", rule.needs)
      .. sentence("Source: ", rule.source),
  }
end

-- Entries of the routers and balance rules, made of the objects.
local function routing_docs(list)
  local routing = require "switchyard.model.routing"
  for _, name in ipairs(routing.names()) do
    list[#list + 1] = router_doc(require("switchyard.model.nn").routers[name], routing)
  end
  for _, rule in ipairs(routing.all_rules()) do list[#list + 1] = rule_doc(rule) end
end

--- The entries as help.lua wants them; models that model.define made meanwhile have one, with their
-- options.
function docs.list()
  local list, known = {}, {}
  for i, e in ipairs(docs.entries) do
    known[e[1]] = true
    list[i] = {name = e[1], signature = e[2], text = e[3], example = e[4], own = true,
               options = e.options and function() return rows_of(e.options) end}
  end
  routing_docs(list)
  for _, e in ipairs(require("switchyard.prompt.commands").docs()) do list[#list + 1] = e end
  local names = {}
  for name in pairs(require("switchyard.model.model")._rows()) do
    names[#names + 1] = "model." .. name
  end
  table.sort(names)
  for _, name in ipairs(names) do
    if not known[name] then
      list[#list + 1] = {name = name, signature = name .. "{...} -> m",
                         text = "A model of model.define.",
                         options = function() return rows_of(name) end}
    end
  end
  return list
end

return docs
