-- train(m, d, {...}) -> run: its options, and how a run begins (API.md, Training).  lua/run/run.lua
-- is the run.
--
--   1. A row is all that there is to write for an option: it is checked by it, stands in ?train, in
--      the manual and in completion, and is stored with the run (lua/run/directory.lua): o.NAME of
--      what read_options gives, r._o.NAME later.
--   2. Rows of hyper-parameters are in C (SY_HYPER_MAP, include/switchyard/hyper.h): those are
--      numbers that a live run has as r.NAME, and that its journal and its checkpoints hold.
--   3. A run that was stored without an option is made again with the default of its row.

local engine = require "switchyard.engine"
local lazy = require "switchyard.core.lazy"
local lint = lazy "switchyard.lab.lint"
local directory = lazy "switchyard.run.directory"
local objective = require "switchyard.model.objective"
local options = require "switchyard.core.options"
local teacher = lazy "switchyard.run.teacher"
local Run = require("switchyard.run.run").Run

-- ---- options ----

local optimizers = engine.optimizers()

local function names_of(list)
  local names = {}
  for i, one in ipairs(list) do names[i] = one.name end
  return names
end

local optimizer_names, schedules = names_of(optimizers), names_of(engine.schedules())

-- "adamw: by ...; muon: ..."
local function optimizer_help()
  local lines = {}
  for i, o in ipairs(optimizers) do lines[i] = ("%s: %s"):format(o.name, o.help) end
  return table.concat(lines, "; ") .. "; fixed for the run"
end

-- "a, b or c"
local function one_of(list)
  return table.concat(list, ", ", 1, #list - 1) .. " or " .. list[#list]
end

local samplings, sampling_help = names_of(engine.samplings()), {}
for i, s in ipairs(engine.samplings()) do sampling_help[i] = ("%s (%s)"):format(s.name, s.help) end

local ROWS = {
  {"schedule", "string", schedules[1], choices = schedules, help = one_of(schedules),
   live = "next"},
  {"optimizer", "string", optimizer_names[1], choices = optimizer_names, help = optimizer_help()},
  {"precision", "string", "fp32", choices = {"fp32", "bf16"},
   help = "of matrix products: fp32, or bf16 (rounded operands, fp32 sums)"},
  {"label_smoothing", "number", 0, 0, 0.99,
   help = "share of each target that is spread evenly over all ids in training; the loss that is "
   .. "shown is without it"},
  {"z_loss", "number", 0, 0, 1,
   help = "factor of the squared logarithm of the softmax's denominator, added to the loss in "
   .. "training (T5, PaLM: 1e-4); the loss that is shown is without it"},
  {"recompute", "boolean", false,
   help = "keep only what passes between layers and compute the rest again in the backward "
   .. "pass: less memory, more time"},
  {"name", "string", nil, help = "of the run and its directory; default: two words"},
  {"save", "boolean", true, help = "false: the run has no directory, and nothing of it is kept; "
    .. "its series stay in memory, older rows packed (vectors as halves): with 6 layers of 64 "
    .. "experts at most 1 KB a step"},
  {"keep", "integer", 2, 2, 1000000, help = "newest checkpoints that stay"},
  {"keep_every", "integer", 0, 0, 1 << 53,
   help = "checkpoints of steps divisible by it stay as well; 0: none"},
  {"trace_every", "integer", 0, 0, 1 << 53,
   help = "steps between traces of a text, which the panel shows coloured by expert (key 7, series "
   .. "trace.L: the expert that weighs most in each token); 0: never; fixed for the run"},
  {"trace_text", "string", nil, help = "of trace_every; default: the first 96 tokens of the "
    .. "validation text, or as many as the context has"},
  {"lint", "boolean", true, help = "look for faults of the router after steps 1, 100 and 1,000 "
    .. "(lint); a line where one is found"},
  {"paused", "boolean", false, help = "wait for r:resume() before the first step"},
  objective.row("next", "what is learned, by name, {name, OPTION = value} or shares of the rows, "
    .. "{next = 0.5, fim = 0.5}; fixed for the run. "),
  {"teacher", "any", nil, help = "a model whose probabilities are learned as well, by the share "
    .. "distill; it is copied, and kept with the run"},
  {"distill_temperature", "number", 1, 0.01, 100,
   help = "by which both models' logits are divided for it; its loss is times the square"},
  {"sampling", "string", samplings[1], choices = samplings,
   help = "windows of text: " .. one_of(sampling_help)},
}

-- A row of engine.hyper as one of an option.
local function hyper_row(h)
  if h.flag then return {h.name, "boolean", h.default ~= 0, help = h.help, live = h.live} end
  local default = h.default
  if default < 0 then default = nil -- computed from others
  elseif h.integer then default = math.tointeger(default) end
  return {h.name, h.integer and "integer" or "number", default, h.least, h.most, help = h.help,
          live = h.live}
end

--- All options: {name, type, default, least, most, choices=, help=, live=}; live as of
-- engine.hyper().
local function rows()
  local list = {}
  for i, h in ipairs(engine.hyper()) do list[i] = hyper_row(h) end
  for _, row in ipairs(ROWS) do list[#list + 1] = row end
  return list
end

--- What is given and the defaults of what is not.
local function read_options(m, given)
  local o = options.read("train", given, rows())
  -- batches that are not drawn alike may differ from those before for a good reason
  if o.sampling == "sequential" and not (given and given.skip_sigma) then o.skip_sigma = 0 end
  o.objective = objective.read("train", o.objective)
  if o.trace_text and o.trace_every == 0 then
    error("train: trace_text has no effect without trace_every", 0)
  end
  if not o.context or o.context == 0 then o.context = m.cfg.context end
  if o.context > m.cfg.context then
    error(("train: context is %d, more than the model's %d"):format(o.context, m.cfg.context), 0)
  end
  return o
end

-- ---- names ----

local first_words = {"amber", "bold", "brisk", "calm", "clear", "cosmic", "crisp", "eager", "early",
  "fleet", "gentle", "golden", "grand", "hidden", "icy", "jolly", "keen", "late", "light", "lucky",
  "mellow", "misty", "noble", "quiet", "rapid", "royal", "rustic", "sharp", "silent", "silver",
  "sly", "solid", "steady", "sunny", "swift", "tidy", "vivid", "warm", "wild", "young"}
local second_words = {"badger", "beacon", "canyon", "cedar", "comet", "condor", "coral", "crane",
  "delta", "ember", "falcon", "ferret", "finch", "fjord", "gecko", "glade", "harbor", "heron",
  "ibex", "junco", "kestrel", "lagoon", "lark", "lynx", "maple", "marten", "meadow", "otter",
  "pike", "prairie", "quail", "raven", "reef", "sable", "signal", "sparrow", "summit", "tern",
  "thicket", "willow"}

--- A name of two words that no run has.
local function fresh_name()
  local at = engine.entropy()
  for _ = 1, #first_words * #second_words do
    local name = first_words[at % #first_words + 1] .. "-"
      .. second_words[at // 64 % #second_words + 1]
    if not Run._live(name) and not directory.exists(name) then return name end
    at = at + 67
  end
  return "run-" .. #Run.list + 1
end

-- ---- starting ----

-- Options of another optimizer or schedule that were given all the same.
local function say_ignored(r, given)
  for name in pairs(given or {}) do
    local why = Run._ignored(r, name)
    if why then engine.line(("%s: %s has no effect: %s"):format(r.name, name, why)) end
  end
end

-- What cannot be read gives nil, message, code, and whoever keeps the nil alone knows no reason.
local function unread(v, name, reader)
  if v ~= nil then return "" end
  return ("; %s = assert(%s(path)) says why a file cannot be read"):format(name, reader)
end

-- What a model leaves open, or an earlier training chose for it: it sees the first part of a row
-- whole, where an objective gives one, and keeps the pairs of a row apart.  Returns what takes it
-- back.
local function choose(m, d, by)
  local before = {}
  local function set(name, wanted)
    local is_open = m.cfg[name] == nil or m._chosen[name]
    if m:_inputs() or not is_open or not m:_has_option(name) then return end
    before[name] = {m.cfg[name], m._chosen[name]}
    m.cfg[name], m._chosen[name] = wanted or nil, wanted or nil
  end
  set("prefix", objective.has(by, "prefix") or objective.has(by, "span"))
  set("documents", engine.languages(d) ~= nil)
  return function()
    for name, was in pairs(before) do m.cfg[name], m._chosen[name] = was[1], was[2] end
  end
end

local function check_arguments(m, d)
  if type(m) ~= "table" or not m._forward then
    error("train: argument 1 must be a model, got " .. type(m) .. unread(m, "m", "model.load"), 0)
  end
  if type(d) ~= "userdata" then
    error("train: argument 2 must be a dataset (see data.text), got " .. type(d)
      .. unread(d, "d", "data.text"), 0)
  end
end

local function check_free(m)
  if m._run and engine.is_owned(m._run:status().state) then
    error("train: this model is being trained by run '" .. m._run_name
      .. "'; stop it first (r:stop())", 0)
  end
end

-- The tokenizer of both, if there is one.
local function check_ids(m, d)
  local tok = m:_agreed_tokenizer("train", d)
  if d.vocab > m.cfg.vocab then
    error(("train: the data has token ids up to %d, the model's vocab is %d"):format(d.vocab - 1,
      m.cfg.vocab), 0)
  end
  return tok
end

-- The run, before its first step; the model is as it was where there can be none.
local function make(m, d, o)
  local take_back = choose(m, d, o.objective)
  local made, r = pcall(function()
    if o.teacher then teacher.check_sight(o.teacher, m) end
    return Run._make(m, d, o)
  end)
  if not made then
    take_back()
    error(r, 0)
  end
  return r
end

local function launch(r, o)
  local ok, why = pcall(function()
    if not o.save then r._h:pack_rows() end
    Run._launch(r)
  end)
  if not ok then Run._give_back(r) error(why, 0) end
end

local function start(m, d, given, folder)
  engine.check_alive "train"
  check_arguments(m, d)
  local o = read_options(m, given)
  check_free(m)
  local tok = check_ids(m, d)
  o.teacher = teacher.take(m, o, given, tok)
  o.name, o.rules = o.name or fresh_name(), engine.rules
  Run._check_name("train", o.name, not o.save, folder)
  local r = make(m, d, o)
  m.tokenizer, m._assumed = tok, nil
  if o.save then Run._make_directory(r, "train", {folder = folder}) end
  if o.lint then lint.watch(r) end
  launch(r, o)
  say_ignored(r, given)
  return r
end

--- train(m, d, options) -> run, at once; the run goes on in its own thread
local function train(_, m, d, given)
  return options.call(start, m, d, given)
end

--- The same for a run whose directory is made in another folder than where runs are kept.
local function train_in(folder, m, d, given) return start(m, d, given, folder) end

return {train = train, train_in = train_in, rows = rows, read_options = read_options,
        fresh_name = fresh_name}
