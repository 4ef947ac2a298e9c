-- Which experts each token of some data sets is sent to: what specialization, coactivation,
-- saturation and token_experts count.
--
--     a = assignments.of(m, what, {{data=, label=}, ...}, {batches=, batch=, context=})
--     a[i]   a stack of the model (of an encoder and a decoder each has tokens of its own):
--       n, ids[t], label[t], place[t]     of token t of n: its id, its label, its place in the
--                                         window; both from 1
--       mixtures[j]   {place=, label=, E=, K=, router=, first=, choice=, gate=, single=, fixed=}
--         token t's experts are choice[first[t]] .. choice[first[t+1] - 1], in the router's order;
--         gate likewise; fixed: each token has as many
--
--  1. They are what the router chooses, before a capacity drops any: what the model thinks of a
--     token, not what had room.  Choices of experts that compute nothing (behind E) are none.
--  2. Tokens are those of the evaluation's windows (m:loss), without padding, in their order.

local engine = require "switchyard.engine"
local probe = require "switchyard.lab.probe"
local progress = require "switchyard.lab.progress"
local result = require "switchyard.lab.result"
local assignments = {}

-- ---- what is looked at ----

local WHICH = {input = {ids = "inputs", documents = "input_documents", sources = "input_sources"},
               output = {ids = "tokens", documents = "documents", sources = "sources"}}

local function side_of(x) return x.side == "input" and "input" or "output" end

--- The fields of a batch that say which token is whose.
function assignments.fields(m, data)
  local names = {}
  for side, which in pairs(WHICH) do
    if side == "output" or m._encodes then
      names[#names + 1] = which.documents
      if #data.sources > 1 then names[#names + 1] = which.sources end
    end
  end
  table.sort(names)
  return names
end

--- of(document, source) -> the label of a token: the set's own, or by its source or the domain of
-- its document.
function assignments.labeller(set)
  local label, data = set.label, set.data
  if type(label) == "number" then return function() return label end end
  if label == "source" then return function(_, source) return source + 1 end end
  local known = {}
  return function(document)
    known[document] = known[document] or data:document(document + 1).domain
    return known[document]
  end
end

-- ---- what is gathered ----

local function side_in(all, name)
  for _, s in ipairs(all) do
    if s.name == name then return s end
  end
  local s = {name = name, n = 0, length = 0, ids = {}, label = {}, place = {}, mixtures = {}}
  all[#all + 1] = s
  return s
end

local function mixture_in(s, x)
  for _, known in ipairs(s.mixtures) do
    if known.place == x.place then return known end
  end
  local mixture = {place = x.place, label = x.label, layer = x.layer, E = x.E, K = x.K,
                   router = x.router, first = {1}, choice = {}, gate = {}, fixed = true}
  s.mixtures[#s.mixtures + 1] = mixture
  return mixture
end

-- The places of a batch's tokens that are some, and what stands beside them.
local function gather_tokens(s, p, rows, of)
  local which, kept = WHICH[s.name], {}
  local T = p.fields[which.ids].shape[2]
  local ids, documents = p.fields[which.ids]:view(-1):table(),
    p.fields[which.documents]:view(-1):table()
  local sources = p.fields[which.sources] and p.fields[which.sources]:view(-1):table()
  for i = 1, rows * T do
    if documents[i] >= 0 then
      local n = s.n + 1
      kept[#kept + 1] = i
      s.n, s.ids[n], s.place[n] = n, ids[i], (i - 1) % T + 1
      s.label[n] = of(documents[i], sources and sources[i] or 0)
    end
  end
  s.length = math.max(s.length, T)
  return kept
end

local function gather_choices(mixture, x, kept)
  local M, E = x.experts.shape[2], x.E
  local experts, gates = x.experts:view(-1):table(), x.gates:view(-1):table()
  local first, choice, gate = mixture.first, mixture.choice, mixture.gate
  local at = #choice
  for _, i in ipairs(kept) do
    local before = at
    for j = (i - 1) * M + 1, i * M do
      local e = experts[j]
      if e > 0 and e <= E then
        at = at + 1
        choice[at], gate[at] = e, gates[j]
      end
    end
    first[#first + 1] = at + 1
    mixture.single = mixture.single or at - before
    mixture.fixed = mixture.fixed and at - before == mixture.single
  end
end

local function gather(all, p, rows, of)
  local kept = {}
  for _, x in ipairs(p.mixtures) do
    local s = side_in(all, side_of(x))
    kept[s.name] = kept[s.name] or gather_tokens(s, p, rows, of)
    gather_choices(mixture_in(s, x), x, kept[s.name])
  end
end

assignments.rows = {
  {"batches", "integer", 4, 1,
   help = "of each data set: windows of the validation part, 16 each"},
  {"batch", "integer", 16, 1, 1 << 20, help = "windows that are computed at once"},
  {"context", "integer", nil, 1, 1 << 24,
   help = "tokens of a window; default: the model's context"},
}

local function check_vocab(m, what, sets)
  for _, set in ipairs(sets) do
    if set.data.vocab > m.cfg.vocab then
      error(("%s: the data has ids to %d, the model knows those to %d"):format(what,
        set.data.vocab - 1, m.cfg.vocab - 1), 0)
    end
  end
end

--- What one data set tells apart, its sources or its domains, as a set, and their names; nil: it is
-- of one kind.
function assignments.sets(d)
  if #d.sources > 1 then return {data = d, label = "source"}, d.sources end
  if d.domains > 1 then return {data = d, label = "domain"}, result.numbers(d.domains) end
end

local SHOWN = {["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t"}

--- text(id), quoted, for people: of a model, or of the data where it has no tokenizer.
function assignments.texts(m, data)
  local tok = m.tokenizer or data.tokenizer
  if not tok then return function(id) return ("%d"):format(id) end end
  return function(id)
    return ("'%s'"):format(engine.clean((tok:decode{id}:gsub("[\n\r\t]", SHOWN))))
  end
end

--- The rows of options with more behind them.
function assignments.options(more)
  return table.move(assignments.rows, 1, #assignments.rows, #more + 1, more)
end

--- assignments.of(m, what, sets, o) -> the stacks, the first met first.
function assignments.of(m, what, sets, o)
  local T, all, S = o.context or m.cfg.context, {}, m:_inputs()
  check_vocab(m, what, sets)
  local tasks, parts = {}, 0
  for i, set in ipairs(sets) do
    local by = m:_objectives(what, set.data)
    local n = engine.eval_windows(set.data, T, o.batches, S, by)
    tasks[i], parts = by, parts + (n + o.batch - 1) // o.batch
  end
  local done = progress(what, parts, "batches")
  for i, set in ipairs(sets) do
    local of = assignments.labeller(set)
    local p = probe.new(m, {rows = o.batch, length = T, data = set.data, by = tasks[i],
                            fields = assignments.fields(m, set.data), losses = false})
    p:over(o.batches, function(_, rows)
      gather(all, p, rows, of)
      done()
    end)
  end
  return all
end

return assignments
