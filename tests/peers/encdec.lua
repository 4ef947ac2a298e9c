-- model.encdec against transformers' T5: the same weights, the same logits, for both versions, with
-- padding in the inputs; and what greedy decoding and a beam write.  Skips where $PYTHON (default
-- python3) has no torch and transformers.  TAP.

local engine = require "switchyard.engine"
local peers = dofile(os.getenv "srcdir" .. "/tests/peers/peers.lua")
local script = (os.getenv "srcdir" or ".") .. "/tests/peers/encdec.py"

peers.needs("torch", "numpy", "transformers")
local folder = peers.folder()
local S, T, V = 40, 24, 96

local function ids(n, seed) return tensor.randint(2, V - 1, n, {seed = seed}) end

-- Logits of a row whose last inputs are padding.
local function logits_of(m, inputs, padded, tokens)
  local d = {mode = "eval", input_context = S, given = {inputs = true, input_documents = true}}
  m:_record(d, 1, T, function(r) r.logits = m.logits_of(r.result) end)
  local p = engine.program(d.graph, {d.logits})
  engine.copy(d.fields.tokens, tokens)
  engine.copy(d.fields.inputs, inputs)
  local documents = {}
  for i = 1, S do documents[i] = i <= S - padded and 0 or -1 end
  engine.put(d.fields.input_documents, documents)
  m:_write_inputs(d)
  p:run()
  return engine.clone(d.logits)
end

local function list(t, first, last)
  local out = {}
  for i = first, last do out[#out + 1] = t[i]:item() end
  return out
end

local commands = {}
for i, version in ipairs {"1.0", "1.1"} do
  local m = model.encdec {layers = 3, decoder_layers = 2, dim = 32, heads = 4, head_dim = 6,
    ffn_dim = 48, vocab = V, input_context = S, context = T, version = version, seed = 3}
  peers.stir(m)
  local at, padded = folder .. "/" .. i, 7
  local inputs, tokens = ids(S, 5), ids(T, 6)
  assert(os.execute("mkdir '" .. at .. "'"))
  assert(m:save(at .. "/model"))
  assert(inputs:save(at .. "/inputs.npy"))
  assert(tokens:save(at .. "/tokens.npy"))
  local logits = logits_of(m, inputs, padded, tokens)
  assert(logits:save(at .. "/logits.npy"))
  assert((logits + 1e-3):save(at .. "/other.npy")) -- the check can fail
  local seen = list(inputs, 1, S - padded)
  local found = {greedy = m:_decode(seen, {tokens = 12, stop = 1})[1].ids,
                 beam = m:_decode(seen, {tokens = 12, stop = 1, beam = 4,
                                         length_penalty = 0})[1].ids}
  for name, written in pairs(found) do
    assert(tensor(written, {dtype = "i32"}):save(("%s/%s.npy"):format(at, name)))
  end
  commands[#commands + 1] = ("%s %s %d"):format(version, at, padded)
end

local list_path = folder .. "/list"
local f = assert(io.open(list_path, "w"))
f:write(table.concat(commands, "\n"), "\n")
f:close()
local ok = os.execute(("'%s' '%s' '%s'"):format(peers.python, script, list_path))
os.execute("rm -rf '" .. folder .. "'")
os.exit(ok and 0 or 1)
