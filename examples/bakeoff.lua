-- Is a mixture of experts worth it?  Switch (one expert of eight a token) beside a dense model that
-- costs as much a token, a dense model with as many parameters in all, and the two controls whose
-- routers learn nothing: by the token's id, and by frozen random weights.  Equal FLOPs for each,
-- three seeds, text of several languages and of code, none of it seen twice.
--
--     switchyard examples/bakeoff.lua [MINUTES [TEXT]]
--
-- The FLOPs follow from MINUTES, as 2 cores did them when nothing else ran; all numbers but the
-- seconds are functions of the text and MINUTES.  The runs are in the folder bakeoff-MINUTES where
-- runs are kept, and the same line goes on after an interrupt.  Written: bakeoff.md, .svg and .csv.
--
-- Do not expect 7x, which Switch had with 64 experts and a thousand times the tokens; that learned
-- routing does little better than a frozen one at this size has been published (2402.13089).

local USAGE = "usage: switchyard examples/bakeoff.lua [MINUTES [TEXT]]\n"
  .. "  MINUTES  in all, on 2 quiet cores; default: 25.  Under 1: batches of 256 tokens, a try\n"
  .. "  TEXT     a file, a folder or a pattern; default: prose, translations and code of Debian\n"

if arg[1] == "--help" or arg[1] == "-h" then
  io.write(USAGE)
  quit(0)
end
local MINUTES = tonumber(arg[1] or 25)
if not MINUTES or not (MINUTES > 0 and MINUTES < 1e6) then
  io.stderr:write(USAGE)
  quit(2)
end

-- ---- the text: as much of each kind, in pieces that come once, in one order ----

local KINDS = arg[2] and {{arg[2]}} or {
  {"/usr/share/doc/*/copyright", "/usr/share/common-licenses/*"}, -- English
  {"/var/lib/dpkg/info/*.templates"}, -- what packages ask, in 40 languages
  {"/usr/lib/*/perl-base/*.pm", "/usr/share/perl5/Debconf/*.pm", "/usr/share/perl/5*/*.pm"},
  {"/var/lib/dpkg/info/*.postinst", "/var/lib/dpkg/info/*.prerm"}, -- shell
  {"/usr/lib/python3*/*.py"},
  {"/usr/include/*.h"},
}
local EACH, PIECE = 1500000, 2000 -- bytes of a kind at most, and of a piece at least

-- The same numbers on every machine: Knuth's generator.
local state = 1
local function below(n)
  state = state * 6364136223846793005 + 1442695040888963407
  return (state >> 33) % n
end

local function shuffled(list)
  for i = #list, 2, -1 do
    local j = below(i) + 1
    list[i], list[j] = list[j], list[i]
  end
  return list
end

-- Pieces of what the patterns give, whole lines, each once.
local function pieces_of(patterns)
  local bytes, seen, list = tokenizer.bytes {pad = true}, {}, {}
  for _, pattern in ipairs(patterns) do
    local fine, d = pcall(data.text, pattern, {tokenizer = bytes, val = 0})
    local text = fine and d and bytes:decode(d:ids(1, d.tokens)) or ""
    for file in (text .. "<|endoftext|>"):gmatch "(.-)<|endoftext|>" do
      local at = 1
      while at <= #file do
        local stop = file:find("\n", at + PIECE, true) or #file
        local piece = file:sub(at, stop)
        if not seen[piece] and utf8.len(piece) then list[#list + 1] = piece end
        seen[piece], at = true, stop + 1
      end
    end
  end
  return shuffled(list)
end

local function collect()
  local all, kinds = {}, 0
  for _, patterns in ipairs(KINDS) do
    local size, before = 0, #all
    for _, piece in ipairs(pieces_of(patterns)) do
      if size >= EACH then break end
      size, all[#all + 1] = size + #piece, piece
    end
    kinds = kinds + (#all > before and 1 or 0)
  end
  return table.concat(shuffled(all)), kinds
end

local text, kinds = collect()
if #text < 10000 then error(("%d bytes of text are too few"):format(#text), 0) end
local file = os.tmpname()
assert(io.open(file, "w")):write(text):close()
local tok = assert(tokenizer.train_bpe(file, {vocab = 1024}))
os.remove(file)
-- d and b are globals: in the workbench they are there to be looked at.
d = data.string(text, {tokenizer = tok, val = 0.05})

-- ---- the bake-off ----

local RUNS, RATE = 15, 1.2e11 -- FLOPs of the training in a second, evaluations and all
local flops = MINUTES * 60 * RATE / RUNS
local batch = MINUTES < 1 and 1 or 16
print(("%.1f MB of %d kinds of text: %d tokens; %.2g FLOPs a run"):format(#text / 1e6, kinds,
  d.tokens, flops))

b = bakeoff{
  name = ("bakeoff-%g"):format(MINUTES), routers = {"switch"}, data = d, seeds = 3,
  budget = {flops = flops}, points = 16, eval_batches = 6,
  model = {layers = 4, dim = 128, heads = 4, context = 256, experts = 8, expert_dim = 256},
  train = {batch = batch, lr = 3e-3, min_lr = 1e-4, schedule = "wsd", decay = 0.2,
           sampling = "epoch"},
}
print(b:table())
local saved, why = b:save("bakeoff.md", "bakeoff.svg", "bakeoff.csv")
print(saved or why)
