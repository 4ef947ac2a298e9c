-- Switch Transformer end to end (Fedus et al. 2021), small: T5's encoder and decoder with a mixture
-- in every second layer, one expert a token, learns to fill in blanks; beside it the dense T5 that
-- costs as much a token.  Then what the paper does with such a model: distil it into the dense one,
-- make one of a dense one (upcycling, Komatsuzaki et al. 2022), fine-tune it with expert dropout.
--
--     switchyard examples/switch.lua [TEXT] [STEPS]
--
-- As there: version 1.0 of T5 (relu, no gates, tied), spans of 15% and 3 tokens on average,
-- Adafactor with the rate 1/sqrt(max(step, k)), products in bf16 and routers in fp32, jitter 0.01,
-- parameters drawn with variance 0.1 / inputs, capacity 1.25 in training and 2 in evaluation, aux
-- 0.01, z-loss of the output 1e-4.  k is 10,000 there, of a million steps; here STEPS, at least
-- 1,000.  All numbers but the seconds are functions of the text and STEPS.

local USAGE = "usage: switchyard examples/switch.lua [TEXT] [STEPS]\n"
  .. "  TEXT   a file, a folder or a pattern; default: what Debian says of its programs' authors\n"
  .. "  STEPS  of the models that are trained from nothing; default: 1200, 15 minutes on 2 cores\n"

-- ---- options ----

local function copyrights()
  local there = io.open "/usr/share/doc/libc6/copyright"
  if not there then return "/usr/share/common-licenses" end
  there:close()
  return "/usr/share/doc/*/copyright"
end

if arg[1] == "--help" or arg[1] == "-h" then
  io.write(USAGE)
  quit(0)
end
local path, STEPS = arg[1] or copyrights(), math.tointeger(tonumber(arg[2] or 1200))
if not STEPS or STEPS < 1 then
  io.stderr:write(USAGE)
  quit(2)
end
local FEW = math.max(1, STEPS // 4) -- of what goes on from a trained model
local began = os.time()

local function heading(text)
  local s = os.time() - began
  print(("\n[%d:%02d] %s"):format(s // 60, s % 60, text))
end

-- ---- the text and the models ----

-- tok, d, dense, switch and student are globals: in the workbench they are there to be looked at.
tok = assert(tokenizer.train_bpe(path, {vocab = 2048, sentinels = 100}))
d = assert(data.text(path, {tokenizer = tok, val = 0.05}))
print(("%d tokens of %d kinds from %s"):format(d.tokens, tok.size, path))

local T5 = {layers = 4, decoder_layers = 4, dim = 128, heads = 4, ffn_dim = 512,
            input_context = 128, vocab = tok, version = "1.0", init = {"truncated", 0.1}}
local SWITCH = {experts = 8, moe_every = 2, router = {"switch", jitter = 0.01},
                capacity = {train = 1.25, eval = 2, least = 4}, balance = {aux = 0.01}}

local function encdec(...)
  local o = {}
  for _, more in ipairs {T5, ...} do
    for k, v in pairs(more) do o[k] = v end
  end
  return model.encdec(o)
end

local PRETRAIN = {objective = "span", optimizer = "adafactor", schedule = "constant", warmup = 0,
                  lr = 1 / math.sqrt(math.max(1000, STEPS)), batch = 16, z_loss = 1e-4,
                  precision = "bf16", eval_every = 0, checkpoint_every = 0, save = false}

-- Mean of the newest losses.
local function newest(r)
  local losses = r:history "loss"
  local n = math.min(20, losses.shape[1])
  return losses:narrow(1, losses.shape[1] - n + 1, n):narrow(2, 2, 1):mean():item()
end

-- Train for some steps; the seconds it took, and the loss at the end.
local function learn(name, m, text, steps, more)
  local o, start = {steps = steps, name = name}, os.time()
  for _, t in ipairs {PRETRAIN, more or {}} do
    for k, v in pairs(t) do o[k] = v end
  end
  local r = train(m, text, o)
  r:wait()
  if r.state ~= "done" then error(("%s: %s"):format(name, r.error or r.state)) end
  local loss = newest(r)
  r:close()
  return os.time() - start, loss
end

-- ---- blanks in text that no model has seen ----

local BLANKS, WIDTH = 60, 200 -- passages and their bytes

-- A word in the midst of each passage: {before=, word=, after=}.
local function blanks_of(text)
  local list = {}
  for i = 1, BLANKS do
    local at = (i - 1) * math.max(0, #text - WIDTH) // BLANKS + 1
    local passage = text:sub(at, at + WIDTH - 1):match "^%S*%s*(.*)%s%S*$" or ""
    local first, last = passage:find("%s%a%a%a+", #passage // 2)
    if first and not passage:find("_", 1, true) and utf8.len(passage) then
      list[#list + 1] = {before = passage:sub(1, first - 1), word = passage:sub(first, last),
                         after = passage:sub(last + 1)}
    end
  end
  return list
end

local blanks = blanks_of(tok:decode(d:ids(d.train.tokens + 1, d.val.tokens)))

local function bare(text) return (text:gsub("^%s+", ""):gsub("%s+$", "")) end

-- What a model writes into each blank, and how many are right to the letter.
local function fill_all(m)
  local written, right = {}, 0
  for i, b in ipairs(blanks) do
    local _, found = m:fill(b.before .. "___" .. b.after, {tokens = 6})
    written[i] = bare(found[1])
    if written[i] == bare(b.word) then right = right + 1 end
  end
  return written, right
end

-- ---- the table at the end ----

local rows = {}

local function measure(name, m, steps, seconds)
  local c = m:count()
  local written, right = fill_all(m)
  local row = {name = name, total = c.total / 1e6, active = c.active / 1e6, steps = steps,
               seconds = seconds, loss = m:loss(d), right = right, written = written,
               flops = c.flops_per_token}
  rows[#rows + 1] = row
  print(("  %s: held-out loss %.3f, %d of %d blanks right"):format(name, row.loss, right, #blanks))
  return row
end

local function show_table()
  print(("%-34s %8s %8s %6s %6s %5s %7s %7s"):format("", "M params", "M active", "FLOPs", "steps",
    "time", "loss", "exact"))
  for _, r in ipairs(rows) do
    print(("%-34s %8.2f %8.2f %6.2f %6d %4ds %7.3f %6.1f%%"):format(r.name, r.total, r.active,
      r.flops / rows[1].flops, r.steps, r.seconds, r.loss, 100 * r.right / math.max(1, #blanks)))
  end
end

-- ---- 1. the dense T5, and the Switch Transformer of equal cost ----

heading(("the dense T5, %d steps"):format(STEPS))
dense = encdec()
local row = measure("T5, dense", dense, STEPS, learn("dense", dense, d, STEPS))

heading(("the Switch Transformer, %d steps"):format(STEPS))
switch = encdec(SWITCH)
local switch_row = measure("Switch", switch, STEPS, learn("switch", switch, d, STEPS))

heading "blanks that were not seen: [the word] T5 / Switch"
for i = 1, math.min(8, #blanks) do
  local b = blanks[i]
  print(("  ...%s [%s] %s...   %s / %s"):format(b.before:gsub("%s+", " "):sub(-40), bare(b.word),
    b.after:gsub("%s+", " "):sub(1, 25), row.written[i], switch_row.written[i]))
end

-- ---- 2. distillation: the student has the dense T5's form ----

heading "distillation: the dense model begins with what is no expert's, 0.75 text and 0.25 teacher"
student = encdec()
student:copy_from(switch)
measure("student of Switch", student, STEPS,
  learn("student", student, d, STEPS, {teacher = switch, distill = 0.25}))

-- What of that is the teacher's, and what is the beginning's?
local alone = encdec()
alone:copy_from(switch)
measure("the same without a teacher", alone, STEPS, learn("alone", alone, d, STEPS))

-- ---- 3. upcycling: what the dense one knows, in every expert ----

-- Two experts a token, whose gates sum to 1: so it begins as the dense one, to a rounding.  Gates
-- of Switch are probabilities, at first about 1/experts: what the dense layers know would be lost.
heading(("upcycling, 2 experts a token: %d steps, beside as many of the dense one"):format(FEW))
local upcycled = dense:upcycle {experts = SWITCH.experts, moe_every = SWITCH.moe_every,
  router = "softmax", top_k = 2, balance = SWITCH.balance}
measure("T5, upcycled", upcycled, FEW, learn("upcycled", upcycled, d, FEW))
measure("T5, as many steps more", dense, FEW, learn("more", dense, d, FEW))

-- ---- 4. fine-tuning on a little text, where a mixture learns by heart ----

heading "fine-tuning to continue a little text: dropout 0.1, of experts 0.1 or 0.4"
local last = math.min(20000, d.tokens) -- tokens, of which half are learned
local little = data.string(tok:decode(d:ids(d.tokens - last + 1, last)),
  {tokenizer = tok, val = 0.5})
print(("  before: loss %.3f of what is not learned"):format(switch:loss(little,
  {objective = "prefix"})))
for _, p in ipairs {0.1, 0.4} do
  local m = encdec(SWITCH, {dropout = 0.1, expert_dropout = p})
  m:copy_from(switch)
  local name = ("tuned-%.1f"):format(p)
  local _, loss = learn(name, m, little, FEW, {objective = "prefix", lr = 1e-3})
  print(("  expert dropout %.1f: loss %.3f of what was learned, %.3f of what was not"):format(p,
    loss, m:loss(little, {objective = "prefix"})))
end

heading "the results"
show_table()
