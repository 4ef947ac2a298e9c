-- Who is an expert for what: bytes of several languages and of C, a mixture with its balance loss
-- over each micro-batch ("micro") and over a whole step ("step"), and beside them a router that is
-- drawn at random and never learns.
--
--     switchyard examples/specialise.lua [MINUTES [FOLDER]]
--
-- What the experts say of a text's language is measured beyond what the byte itself says (given
-- token): letters with accents tell a language by themselves, and whoever sends them somewhere is
-- no expert for anything.  Frozen random is the control: its experts go by what stands before a
-- byte, too.
--
-- The languages are those that programs are translated with (/usr/share/locale), C is
-- /usr/include/*.h; of a FOLDER each file NAME.txt is a language.  Of the minutes each of the three
-- gets a third.

local USAGE = "usage: switchyard examples/specialise.lua [MINUTES [FOLDER]]\n"
  .. "  MINUTES  of the three runs together; default: 25 on 2 quiet cores\n"
  .. "  FOLDER   files NAME.txt, a language each; default: messages of programs, and C\n"

-- ---- options ----

if arg[1] == "--help" or arg[1] == "-h" then
  io.write(USAGE)
  quit(0)
end
local minutes, folder = tonumber(arg[1] or 25), arg[2]
if not minutes or not (minutes > 0) then
  io.stderr:write(USAGE)
  quit(2)
end

-- ---- texts ----

local LANGUAGES, LOCALE = {"de", "es", "fr", "it", "nl", "pl", "sv"}, "/usr/share/locale"
local BYTES = 2000000 -- of each language at most
local tok = tokenizer.bytes()

-- The messages of a language, a line each, without what many languages have in common.
local function messages(language)
  local pairs_of = data.catalogues{from = {language}, to = "en", path = LOCALE, min_words = 3,
                                   tokenizer = tokenizer.bytes{pad = true}, val = 0}
  local lines, size = {}, 0
  for i = 1, pairs_of and pairs_of.pairs or 0 do
    local p = pairs_of:pair(i)
    if p.input ~= p.target and size < BYTES then
      lines[#lines + 1], size = p.input .. "\n", size + #p.input + 1
    end
  end
  return table.concat(lines)
end

-- The first bytes of a file or of those of a pattern.
local function file_text(path)
  local all = data.text(path, {tokenizer = tok, val = 0, on_error = "skip"})
  return all and tok:decode(all:ids(1, math.min(all.tokens, BYTES))) or ""
end

local texts = {}
if folder then
  local quoted = "'" .. folder:gsub("'", "'\\''") .. "'"
  for path in io.popen(("ls -d %s/*.txt 2>/dev/null"):format(quoted)):lines() do
    texts[path:match "([^/]+)%.txt$"] = file_text(path)
  end
else
  for _, language in ipairs(LANGUAGES) do texts[language] = messages(language) end
  texts.c = file_text "/usr/include/*.h"
end

-- d: {name = data set}, a global as all that is of use in the workbench; the same share of each.
d = {}
local parts, names = {}, {}
for name, text in pairs(texts) do
  if #text >= 20000 then names[#names + 1] = name end
end
table.sort(names)
if #names < 2 then
  io.stderr:write("at least two texts of 20,000 bytes are needed, there are ", #names, ": apt-get "
    .. "install gettext and programs with translations, or give a FOLDER of NAME.txt\n")
  quit(1)
end
for i, name in ipairs(names) do
  d[name] = data.string(texts[name], {tokenizer = tok, val = 0.1})
  parts[i] = {d[name], 1 / #names}
  print(("%-12s %8d bytes"):format(name, #texts[name]))
end
mix = data.mix(parts)

-- ---- three routers ----

local SETTINGS = {
  {"micro", {router = "softmax", balance = {aux = 0.01, scope = "micro"}}},
  {"step", {router = "softmax", balance = {aux = 0.01, scope = "step"}}},
  {"frozen random", {router = "random"}},
}

local function make(more)
  local o = {layers = 4, dim = 128, heads = 4, context = 256, vocab = tok, experts = 8, top_k = 1,
             expert_dim = 128}
  for k, v in pairs(more) do o[k] = v end
  return model.moe(o)
end

-- So many steps that all three are done in the minutes: measured on a few.
local function steps_in(seconds)
  local few = train(make(SETTINGS[2][2]), mix, {steps = 4, batch = 4, accumulate = 4, save = false,
                                                eval_every = 0})
  few:wait(1)
  local began = os.time()
  few:wait()
  local each = math.max(few.tok_s and 4 * 4 * 256 / few.tok_s or 1, 1e-3)
  few:close()
  return math.max(4, math.floor((seconds - (os.time() - began)) / each))
end

local steps = steps_in(minutes * 60 / #SETTINGS)
print(("%d steps of %d tokens for each of %d routers"):format(steps, 4 * 4 * 256, #SETTINGS))

-- models, found: by the names of SETTINGS.
models, found = {}, {}
for i, setting in ipairs(SETTINGS) do
  local name, more = setting[1], setting[2]
  models[name] = make(more)
  local r = train(models[name], mix, {steps = steps, batch = 4, accumulate = 4, lr = 1e-3,
    eval_every = 0, save = false, name = "specialise-" .. i}):wait()
  if r.state ~= "done" then error(("%s: %s"):format(name, r.error or r.state)) end
  print(("\n== %s: loss %.3f nats a byte"):format(name, r:eval(20)))
  r:close()
  found[name] = specialization(models[name], d, {batches = 4, context = 256})
  print(found[name])
end

-- ---- beside each other ----

print "\nWhat the expert says of the language beyond the byte, by shares (in brackets: in all)\n"
local row = {("%-10s"):format "layer"}
for _, setting in ipairs(SETTINGS) do row[#row + 1] = ("%20s"):format(setting[1]) end
print(table.concat(row))
for l = 1, 4 do
  row = {("%-10d"):format(l)}
  for _, setting in ipairs(SETTINGS) do
    local layer = found[setting[1]].layers[l]
    row[#row + 1] = ("%12.1f%% (%4.1f%%)"):format(100 * layer.given_token.value,
      100 * layer.domain.value)
  end
  print(table.concat(row))
end
