-- Many languages into English, as GShard did it: an encoder-decoder whose first layer of each pair
-- is a mixture of experts, two a token, the second now and then.  The sentences are those that
-- programs are translated with (message catalogues, /usr/share/locale).  Beside it a dense model of
-- equal FLOPs, the translation of the most similar text of the training part, and a copy.
--
--     switchyard examples/gshard.lua [STEPS [LANGUAGES [FOLDER [HELP]]]]
--
-- LANGUAGES are names of FOLDER/LANGUAGE/LC_MESSAGES with commas between; HELP is a folder as
-- /usr/share/libreoffice/help, whose pages are read as well: whole sentences (packages
-- libreoffice-help-en-us and libreoffice-help-LANGUAGE).
--
-- Messages come again in other words (one package has "cannot open %s", another "can't open %s"):
-- nearest is the hardest to beat, and says how much of the text that is.
--
-- Lepikhin et al. 2021.  Theirs: 100 languages, 128 experts and more a layer, width 1,024.

local steps = assert(math.tointeger(tonumber(arg[1] or 6000)), "STEPS must be a whole number")
local folder, help = arg[3] or "/usr/share/locale", arg[4]
local languages = {}
for name in (arg[2] or "de,es,fr,it,ja,ru,sv,uk"):gmatch "[^,]+" do
  languages[#languages + 1] = name
end
local began = os.time()
local TEXTS = 40 -- of each language are translated

-- ---- data ----

-- Held out are English texts: what is asked for below was seen in no language.
local why
d, why = data.catalogues{from = languages, to = "en", path = folder, help = help, min_words = 3,
                         val = 0.05, tokenizer = {vocab = 4096}}
if not d then
  io.stderr:write(why, "\n")
  quit(1)
end
print(d.reading)

-- ---- two models of equal FLOPs ----

local function make(more)
  local o = {layers = 4, decoder_layers = 4, dim = 128, heads = 4, input_context = 96, context = 64,
             vocab = d.tokenizer, version = "1.0", tie = false, init = {"uniform", 1}}
  for k, v in pairs(more) do o[k] = v end
  return model.encdec(o)
end

-- Where two experts work a token a mixture is twice as wide as a dense layer.
local WIDTH = 384
m = make{ffn_dim = WIDTH, experts = 8, top_k = 2, expert_dim = WIDTH, moe_every = 2, moe_first = 1,
         router = "gshard", balance = {aux = 0.01},
         capacity = {train = 1, least = 4, group = 256}}
dense = make{ffn_dim = WIDTH * 3 // 2}
print(("%.3g and %.3g FLOPs a token of a step (mixture, dense)"):format(m:count().flops_per_token,
  dense:count().flops_per_token))

local function learn(what, model)
  return train(model, d, {
    steps = steps, batch = 8, optimizer = "adafactor", lr = 3e-2, min_lr = 1e-3, weight_decay = 0,
    warmup = math.min(100, steps // 10), precision = "bf16", sampling = "epoch", seed = 1,
    label_smoothing = 0.1, z_loss = 1e-4,
    eval_every = math.max(1, steps // 4), eval_batches = 5,
    name = ("gshard-%s-%d"):format(what, steps) .. os.date "-%d%H%M%S"}):wait() -- runs are kept
end

-- r, m, dense and d are globals: in the workbench they are there to be looked at and changed.
r = learn("mixture", m)
dense_run = learn("dense", dense)

-- ---- which experts the languages use ----

-- A series' mean over the latter half of the steps: a list, of a number of one.
local function latter(name)
  local h = r:history(name)
  local half = (h.shape[1] + 1) // 2
  return h:narrow(1, h.shape[1] - half + 1, half):mean(1):narrow(1, 2, h.shape[2] - 1):table()
end

local function print_row(title, values, form)
  local cells = {("%-8s"):format(title)}
  for i, v in ipairs(values) do cells[i + 1] = form:format(v) end
  print(table.concat(cells))
end

if #d.sources > 1 then
  print("\nTokens of a language that an expert got, of a fair share (1.00)")
  for l, layer in ipairs(m.layers) do
    if layer.moe then
      local E, load = #layer.moe.experts, latter("source_load." .. l)
      print(("\n%s, experts 1 to %d; %.1f%% of the choices dropped"):format(layer.label, E,
        100 * latter("drop." .. l)[1]))
      for i, language in ipairs(d.sources) do
        print_row(language, table.move(load, (i - 1) * E + 1, i * E, 1, {}), " %5.2f")
      end
    end
  end
end

-- ---- translations ----

local tok = d.tokenizer

-- Texts of the validation part by language, evenly through it, that the models can read and write:
-- {[language] = {input = {...}, target = {...}}}.
local function held_out()
  local all, chosen = {}, {}
  for i = 1, d.val.pairs do
    local p = d.val:pair(i)
    local list = all[p.source] or {}
    all[p.source] = list
    if #tok:encode(p.input) < 96 and #tok:encode(p.target) < 64 then list[#list + 1] = p end
  end
  for language, list in pairs(all) do
    local n, of = math.min(TEXTS, #list), {input = {}, target = {}}
    for k = 1, n do
      local p = list[(k - 1) * #list // n + 1]
      of.input[k], of.target[k] = p.input, p.target
    end
    if n > 0 then chosen[language] = of end
  end
  return chosen
end

-- {id = true}, and how many.
local function ids_of(text)
  local set, n = {}, 0
  for _, id in ipairs(tok:encode(text)) do
    if not set[id] then set[id], n = true, n + 1 end
  end
  return set, n
end

-- For each text the target of the training pair of its language whose input has most tokens in
-- common with it (Dice's coefficient).
local function nearest(chosen)
  local index = {}
  for language, of in pairs(chosen) do
    local with = {size = {}, score = {}, found = {}}
    for i, text in ipairs(of.input) do
      local set, n = ids_of(text)
      with.size[i], with.score[i] = n, -1
      for id in pairs(set) do
        with[id] = with[id] or {}
        table.insert(with[id], i)
      end
    end
    index[language] = with
  end
  for k = 1, d.train.pairs do
    local p = d.train:pair(k)
    local with, common = index[p.source], {}
    local set, n = ids_of(p.input)
    for id in pairs(set) do
      for _, i in ipairs(with and with[id] or {}) do common[i] = (common[i] or 0) + 1 end
    end
    for i, c in pairs(common) do
      local score = 2 * c / (n + with.size[i])
      if score > with.score[i] then with.score[i], with.found[i] = score, p.target end
    end
  end
  for language, of in pairs(chosen) do
    for i = 1, #of.input do index[language].found[i] = index[language].found[i] or "" end
  end
  return index
end

local chosen = held_out()
local near = nearest(chosen)
local function translate(model, language, texts)
  return model:translate(texts, {from = language, tokens = 64})
end

local WAYS = {"mixture", "dense", "nearest", "copy"}
local function ways_of(language, texts)
  return {mixture = translate(m, language, texts), dense = translate(dense, language, texts),
          nearest = near[language].found, copy = texts}
end

local accuracy, of_language = {}, {}
accuracy.mixture, of_language.mixture = m:accuracy(d, {batches = 100})
accuracy.dense, of_language.dense = dense:accuracy(d, {batches = 100})

-- Columns: token accuracy in percent of the two models, then BLEU and chrF of each way.
local function print_scores(title, of, references, texts)
  local values = {100 * of.mixture, 100 * of.dense}
  for _, score in ipairs{data.bleu, data.chrf} do
    for _, way in ipairs(WAYS) do values[#values + 1] = (score(texts[way], references)) end
  end
  print_row(title, values, " %7.1f")
end

print(("\n%-8s %15s %31s %31s"):format("held out", "token accuracy", "BLEU", "chrF"))
print_row("", {"mixture", "dense", "mixture", "dense", "nearest", "copy", "mixture", "dense",
               "nearest", "copy"}, " %7s")
local whole, references, samples = {}, {}, {}
for _, way in ipairs(WAYS) do whole[way] = {} end
for _, language in ipairs(d.sources) do
  local of = chosen[language]
  if of then
    local texts = ways_of(language, of.input)
    print_scores(language, {mixture = of_language.mixture[language] or 0,
                            dense = of_language.dense[language] or 0}, of.target, texts)
    for _, way in ipairs(WAYS) do
      table.move(texts[way], 1, #texts[way], #whole[way] + 1, whole[way])
    end
    table.move(of.target, 1, #of.target, #references + 1, references)
    local k = (#of.input + 1) // 2
    samples[#samples + 1] = {language, of.input[k], of.target[k], texts.mixture[k], texts.dense[k]}
  end
end
print_scores("all", accuracy, references, whole)

print "\nOne of each: the text, its reference, the mixture, the dense model"
for _, s in ipairs(samples) do print(("%s\n  "):format(s[1]) .. table.concat(s, "\n  ", 2)) end

-- What is no message of a program is out of reach of models of this size and data.
local PROSE = {de = "Am Abend ging sie hinunter zum Fluss und wartete auf ihren Bruder.",
               es = "Por la tarde bajó al río y esperó a su hermano.",
               fr = "Le soir, elle descendit vers la rivière et attendit son frère."}
print "\nProse (German, Spanish, French), which none of them can"
for _, language in ipairs(d.sources) do
  local text = PROSE[language]
  if text then
    print(("%s  %s\n    %s"):format(language, text, translate(m, language, {text})[1]))
  end
end
print(("\n%d minutes in all"):format((os.time() - began + 30) // 60))
