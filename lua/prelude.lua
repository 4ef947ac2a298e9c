-- Run once when the program starts: the globals that are written in Lua.
-- What is found here is public; the modules behind it are `require "switchyard.NAME"`.

-- The function of a module that is read when it is first called.
local function late(module, name)
  return function(...) return require("switchyard." .. module)[name](...) end
end

help = require "switchyard.help.help"

-- a[i][j] of a matrix is a number; a number answers item() as a tensor of one element does.
debug.setmetatable(0, {__index = {item = function(x) return x end}})

tensor.gradcheck = require("switchyard.tensor.gradcheck")
require("switchyard.tensor.compose").open()

data.bleu, data.chrf = late("data.score", "bleu"), late("data.score", "chrf")

nn = require "switchyard.model.nn"
model = require "switchyard.model.model"
require "switchyard.model.decoder"
require "switchyard.model.encdec"
routers = late("model.routing", "list")
lint = setmetatable({faults = late("lab.lint", "faults")}, {__call = function(_, ...)
  return require("switchyard.lab.lint").lint(...)
end})

local run = require "switchyard.run.run"
local start = require "switchyard.run.train"
require "switchyard.run.fork"
local stored = require "switchyard.run.stored"
train = setmetatable({resume = late("run.resume", "resume")}, {__call = start.train})
every, runs = run.every, stored.runs
alarm = late("lab.alarms", "alarm")
compare, replay = late("run.compare", "compare"), late("run.replay", "replay")
specialization = late("lab.specialization", "of")
coactivation, token_experts = late("lab.coactivation", "of"), late("lab.token_experts", "of")
saturation = late("lab.saturation", "of")

local traced = late("lab.trace", "trace")
trace = setmetatable({load = late("lab.trace_file", "load"), diff = late("lab.trace_diff", "diff")},
                     {__call = function(_, ...) return traced(...) end})
bakeoff = late("lab.bakeoff", "bakeoff")

local function is(class) return function(v) return getmetatable(v) == class end end
local guard, surgery = require("switchyard.core.method").guard,
  require "switchyard.run.surgery"
guard(run.Run.methods, "a run", "r", is(run.Run))
guard(stored.Stored.methods, "a stored run", "s", is(stored.Stored))
guard(model._Model, "a model", "m", is(model._Class))
guard(surgery.Expert.methods, "an expert", "x", is(surgery.Expert))
guard(surgery.Router.methods, "a router", "x", is(surgery.Router))

local only = require("switchyard.core.fields").only
for name, t in pairs {tensor = tensor, nn = nn, data = data, tokenizer = tokenizer,
                      train = train, trace = trace} do
  only(t, name, "function")
end

require("switchyard.prompt.commands").open()
