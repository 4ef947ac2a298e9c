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
-- 0.01, z-loss of the output 1e-4.  k is 10,000 there, of a million steps; here 1,000.
-- All numbers but the seconds are functions of the text and STEPS.

local USAGE = "usage: switchyard examples/switch.lua [TEXT] [STEPS]\n"
  .. "  TEXT   a file, a folder or a pattern; default: the licences of what Debian has installed\n"
  .. "  STEPS  of the two models compared; default: 10000, about 7 minutes on 2 quiet cores\n"

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
local path, STEPS = arg[1] or copyrights(), math.tointeger(tonumber(arg[2] or 10000))
if not STEPS or STEPS < 2 then
  io.stderr:write(USAGE)
  quit(2)
end
-- Steps of students, and of what goes on from a trained model.
local SOME, FEW = math.max(1, STEPS // 4), math.max(1, STEPS // 20)
local began = os.time()

local function heading(text)
  local s = os.time() - began
  print(("\n[%d:%02d] %s"):format(s // 60, s % 60, text))
end

-- ---- the text ----

-- Is a paragraph sentences, and no list of names, years and addresses?
local function is_prose(p)
  local _, usual = p:gsub("[%l ]", "")
  return #p >= 150 and usual >= 0.85 * #p and not p:find "[@_]" and utf8.len(p)
end

-- The paragraphs that are prose, a line each, of every file that is not a copy of another: packages
-- of one source have the same, and what is held out would have been learned.
local function prose(where)
  local bytes, seen, lines = tokenizer.bytes {pad = true}, {}, {}
  local all = assert(data.text(where, {tokenizer = bytes}))
  local text = bytes:decode(all:ids(1, all.tokens)) .. "<|endoftext|>"
  for file in text:gmatch "(.-)<|endoftext|>" do
    local plain = seen[file] and "" or ("\n" .. file):gsub("\n[ \t*#;/.]+", "\n") .. "\n\n"
    seen[file] = true
    for p in plain:gmatch "(.-)\n\n+" do
      p = p:gsub("%s+", " "):gsub("^ ", "")
      if is_prose(p) then lines[#lines + 1] = p .. "\n" end
    end
  end
  return table.concat(lines)
end

-- tok, d, dense, switch and student are globals: in the workbench they are there to be looked at.
local text = prose(path)
if #text < 20000 then
  error(("%s: %d bytes of it are paragraphs of prose, too few"):format(path, #text), 0)
end
local file = os.tmpname()
assert(io.open(file, "w")):write(text):close()
tok = assert(tokenizer.train_bpe(file, {vocab = 1024, sentinels = 100}))
os.remove(file)
d = data.string(text, {tokenizer = tok, val = 0.05})
print(("%d tokens of %d kinds: the prose in %s"):format(d.tokens, tok.size, path))

-- ---- the models ----

local T5 = {layers = 2, decoder_layers = 2, dim = 128, heads = 4, ffn_dim = 512,
            input_context = 64, vocab = tok, version = "1.0", init = {"truncated", 0.1}}
local SWITCH = {experts = 8, moe_every = 2, router = {"switch", jitter = 0.01},
                capacity = {train = 1.25, eval = 2, least = 4}, balance = {aux = 0.01}}

local function encdec(...)
  local o = {}
  for _, more in ipairs {T5, ...} do
    for k, v in pairs(more) do o[k] = v end
  end
  return model.encdec(o)
end

local K = 1000
local function rate(step) return 1 / math.sqrt(math.max(step, K)) end

local PRETRAIN = {objective = "span", optimizer = "adafactor", schedule = "constant", warmup = 0,
                  lr = rate(0), batch = 8, z_loss = 1e-4, precision = "bf16", eval_every = 0,
                  checkpoint_every = 0, save = false}

-- A run that is over must have come to its end.
local function finish(r)
  r:wait()
  if r.state ~= "done" then error(("%s: %s"):format(r.name, r.error or r.state)) end
  return r
end

-- Train for some steps.  more: options; first: steps that the model has behind it, for the rate.
local function learn(name, m, what, steps, more, first)
  local o = {steps = steps, name = name, paused = true}
  for _, t in ipairs {PRETRAIN, more or {}} do
    for k, v in pairs(t) do o[k] = v end
  end
  local r = train(m, what, o)
  if o.lr == PRETRAIN.lr then
    r.lr = rate(first or 0)
    every(r, 50, function() r.lr = rate((first or 0) + r.step) end)
  end
  r:resume()
  return finish(r)
end

-- Mean of the newest losses.
local function newest(r)
  local losses = r:history "loss"
  local n = math.min(20, losses.shape[1])
  return losses:narrow(1, losses.shape[1] - n + 1, n):narrow(2, 2, 1):mean():item()
end

-- ---- blanks in text that no model has seen ----

local BLANKS, WIDTH = 200, 160 -- passages at most, and their bytes

local learned, paragraphs = {}, {} -- of the training text, each once: a set, and in their order
for p in tok:decode(d:ids(1, d.train.tokens)):gmatch "[^\n]+" do
  if not learned[p] then paragraphs[#paragraphs + 1] = p end
  learned[p] = true
end

-- A word in the midst of each of some paragraphs: {before=, word=, after=, known=}.  The space in
-- front of it is blank, too, as tokens have it.
local function blanks_of(unseen)
  local all, list = {}, {}
  for p in unseen:gmatch "[^\n]+" do
    local at = p:find("%s", (#p - WIDTH) // 2)
    local passage = at and p:sub(at + 1, at + WIDTH):match "^(.*)%s" or ""
    local first, last = passage:find("%s%a%a%a+%f[%A]", #passage // 2)
    if first and #tok:encode(passage) < T5.input_context - 4 then
      all[#all + 1] = {before = passage:sub(1, first - 1), word = passage:sub(first + 1, last),
                       after = passage:sub(last + 1), known = learned[p]}
    end
  end
  local n = math.min(BLANKS, #all)
  for i = 1, n do list[i] = all[(i - 1) * #all // n + 1] end
  return list
end

local blanks = blanks_of(tok:decode(d:ids(d.train.tokens + 1, d.val.tokens)))
local new = 0 -- in paragraphs that the training text does not have word for word
for _, b in ipairs(blanks) do new = new + (b.known and 0 or 1) end

local function bare(s) return (s:gsub("^%s+", ""):gsub("%s+$", "")) end

-- What fill(blank) writes into each, and shares: exact, right to the letter; begun, of which the
-- first word is right, however long the filling is; new, exact among the new ones.
local function fill_all(fill)
  local written, exact, begun, new_ones = {}, 0, 0, 0
  for i, b in ipairs(blanks) do
    written[i] = bare(fill(b))
    if written[i] == b.word then
      exact, new_ones = exact + 1, new_ones + (b.known and 0 or 1)
    end
    begun = begun + (written[i]:match "^%a+" == b.word and 1 or 0)
  end
  local all = 100 / math.max(1, #blanks)
  return {written = written, exact = exact * all, begun = begun * all,
          new = 100 * new_ones / math.max(1, new)}
end

-- ---- what needs no model: the commonest word, and that behind the same two words ----

local function counter() -- counter(key, word) counts; counter(key) is the commonest word
  local counts, best = {}, {}
  return function(key, word)
    if not word then return best[key] end
    local of = counts[key] or {}
    counts[key] = of
    of[word] = (of[word] or 0) + 1
    if not best[key] or of[word] > of[best[key]] then best[key] = word end
  end
end

local commonest = counter()
for _, p in ipairs(paragraphs) do
  local a, b = "", ""
  for w in p:gmatch "%S+" do
    local word = w:match "^%A*(%a%a%a+)"
    if word then
      commonest("", word)
      commonest(a .. " " .. b, word)
    end
    a, b = b, w
  end
end

local function behind_two(b)
  local key = b.before:match "(%S+%s+%S+)$"
  return key and commonest((key:gsub("%s+", " "))) or commonest ""
end

-- ---- the table at the end ----

local rows = {}

local function show(r)
  local function cell(format, v) return v and format:format(v) or "" end
  print(("%-30s %6s %6s %5s %5s %5s %6s %6s %6s %6s"):format(r.name, cell("%.2f", r.total),
    cell("%.2f", r.active), cell("%.2f", r.flops and r.flops / rows.flops), cell("%d", r.steps),
    cell("%ds", r.seconds), cell("%.3f", r.loss), cell("%.1f%%", r.begun),
    cell("%.1f%%", r.exact), cell("%.1f%%", r.new)))
end

local function show_table()
  print(("%-30s %6s %6s %5s %5s %5s %6s %6s %6s %6s"):format("", "M par.", "active", "FLOPs",
    "steps", "time", "loss", "begun", "exact", "new"))
  for _, r in ipairs(rows) do show(r) end
end

local function add_row(name, row)
  row.name = name
  rows[#rows + 1] = row
  return row
end

-- Held-out loss and blanks; r: the run that has just ended.
local function measure(name, m, r, since)
  local c, row = m:count(), fill_all(function(b)
    local _, found = m:fill(b.before .. "___" .. b.after, {tokens = 6})
    return found[1]
  end)
  row.total, row.active, row.flops = c.total / 1e6, c.active / 1e6, c.flops_per_token
  rows.flops = rows.flops or row.flops
  row.steps, row.seconds, row.loss = r.step, os.time() - since, m:loss(d, {batches = 60})
  print(("  %s: held-out loss %.3f, %.0f%% of %d blanks right, %.0f%% begun so"):format(name,
    row.loss, row.exact, #blanks, row.begun))
  return add_row(name, row)
end

-- The same for a model from its beginning to SOME steps and on to STEPS, as one run.
local function measure_twice(name, m)
  local since = os.time()
  local r = learn(name:gsub("%W+", "-"), m, d, SOME)
  local part = measure(name, m, r, since)
  r.steps = STEPS
  r:resume()
  local whole = measure(name, m, finish(r), since)
  r:close()
  return whole, part
end

local function measure_once(name, m, steps, more, first)
  local since = os.time()
  local r = learn(name:gsub("%W+", "-"), m, d, steps, more, first)
  local row = measure(name, m, r, since)
  r:close()
  return row
end

add_row(("always %q"):format(commonest ""), fill_all(function() return commonest "" end))
add_row("the word behind the same two", fill_all(behind_two))

-- ---- 1. the dense T5, and the Switch Transformer of equal cost ----

heading(("the dense T5, %d steps"):format(STEPS))
dense = encdec()
local row, alone = measure_twice("T5, dense", dense)

heading(("the Switch Transformer, %d steps"):format(STEPS))
switch = encdec(SWITCH)
local switch_row = measure_twice("Switch", switch)

heading "blanks that were not seen: [the word] T5 / Switch"
for i = 1, #blanks, math.max(1, #blanks // 10) do
  local b = blanks[i]
  print(("  ...%s [%s]%s...   %s / %s"):format(b.before:sub(-40), b.word, b.after:sub(1, 25),
    row.written[i], switch_row.written[i]))
end

-- ---- 2. distillation: the student has the dense T5's form ----

heading "distillation: the dense model begins with what is no expert's, 0.75 text and 0.25 teacher"
student = encdec()
student:copy_from(switch)
local taught = measure_once("student of Switch", student, SOME,
  {teacher = switch, distill = 0.25})

-- What of that is the teacher's, and what is the beginning's?
local same = encdec()
same:copy_from(switch)
local untaught = measure_once("the same without a teacher", same, SOME)
print(("  at %d steps: %.3f alone, %.3f begun with Switch's, %.3f taught as well"):format(SOME,
  alone.loss, untaught.loss, taught.loss))

-- ---- 3. upcycling: what the dense one knows, in every expert ----

-- Two experts a token, whose gates sum to 1: so it begins as the dense one, to a rounding.  Gates
-- of Switch are probabilities, at first about 1/experts: what the dense layers know would be lost.
heading(("upcycling, 2 experts a token: %d steps, beside as many of the dense one"):format(FEW))
local upcycled = dense:upcycle {experts = SWITCH.experts, moe_every = SWITCH.moe_every,
  router = "softmax", top_k = 2, balance = SWITCH.balance}
measure_once("T5, upcycled", upcycled, FEW, nil, STEPS)
measure_once("T5, as many steps more", dense, FEW, nil, STEPS)

-- ---- 4. fine-tuning on a little text, with more dropout of the experts ----

heading "fine-tuning to continue a little text"
local last = math.min(12000, d.tokens) -- tokens, of which half are learned
local little = data.string(tok:decode(d:ids(d.tokens - last + 1, last)),
  {tokenizer = tok, val = 0.5})
local PREFIX = {objective = "prefix"}
print(("  before: loss %.3f of what is not learned"):format(switch:loss(little, PREFIX)))
for _, p in ipairs {{0, 0}, {0.1, 0.1}, {0.1, 0.4}} do
  local m = encdec(SWITCH, {dropout = p[1], expert_dropout = p[2]})
  m:copy_from(switch)
  local r = learn(("tuned-%.1f-%.1f"):format(p[1], p[2]), m, little, FEW,
    {objective = "prefix", lr = 1e-2})
  print(("  dropout %.1f, of experts %.1f: loss %.3f of what was learned, %.3f of what was not")
    :format(p[1], p[2], newest(r), m:loss(little, PREFIX)))
  r:close()
end

heading(("the results; of %d blanks begun: the first word is right, exact: no other follows, new: "
  .. "exact of the %d in paragraphs that are new"):format(#blanks, new))
show_table()
