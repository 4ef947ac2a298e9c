-- Models that m:save says transformers can load, loaded there: the same logits, the same ids of a
-- text; and those that it says cannot be are not loaded.  Skips where $PYTHON (default python3) has
-- no transformers and torch.  TAP.

local tap = dofile(os.getenv "srcdir" .. "/tests/lua/tap.lua")
local peers = dofile(os.getenv "srcdir" .. "/tests/peers/peers.lua")

peers.needs("transformers", "torch", "numpy")

local folder = peers.folder()
local function write(name, text)
  local f <close> = assert(io.open(folder .. "/" .. name, "wb"))
  f:write(text)
  return folder .. "/" .. name
end

local text =
  "Hello world  don't 12345 \u{e9}te\u{301} <|endoftext|>\n\n  x = 1; the cat<|im_start|>"
write("text.txt", text)
local corpus = write("corpus.txt", ("the cat sat on the mat. don't x = 1;\n"):rep(50))
local bpe = tokenizer.train_bpe(corpus, {vocab = 300})
local function layout(name)
  return assert(tokenizer.load(os.getenv "srcdir" .. "/tests/tokenizers/" .. name .. ".json"))
end

local exact = {}
local function case(name, make, cfg, tok)
  local m = make(tap.with({layers = 2, dim = 32, heads = 4, kv_heads = 2, context = 64,
                           vocab = tok or bpe}, cfg))
  peers.stir(m)
  local saved, why = m:save(folder .. "/" .. name)
  assert(saved, why)
  exact[name] = not why
  if why then return end
  local ids = tensor.randint(0, m.cfg.vocab - 1, 24, {seed = 3})
  assert(ids:save(("%s/%s.ids.npy"):format(folder, name)))
  assert(m:logits(ids):save(("%s/%s.npy"):format(folder, name)))
  write(name .. ".tok", table.concat(m.tokenizer:encode(text), " "))
end

case("llama", model.dense, {ffn_dim = 48}, tokenizer.bytes())
case("llama-tied", model.dense, {ffn_dim = 48, tie = true, head_dim = 16, theta = 5000},
  layout "llama2")
case("qwen3", model.dense, {ffn_dim = 48, qk_norm = true}, layout "qwen")
case("qwen3_moe", model.moe, {experts = 4, expert_dim = 24, qk_norm = true, tie = true},
  layout "neox")
case("qwen3_moe-dense-first", model.moe,
  {experts = 4, expert_dim = 24, qk_norm = true, normalize = false, dense_layers = 1, ffn_dim = 40,
   theta = 1e6})
case("qwen3_moe-top-1", model.moe, {experts = 4, top_k = 1, expert_dim = 24, qk_norm = true},
  layout "deepseek")
case("glm4_moe", model.moe, {experts = 4, expert_dim = 24, router = "sigmoid", shared_experts = 1,
                             scale = 1.5}, layout "llama3")
case("glm4_moe-not-normalized", model.moe, {experts = 4, top_k = 3, expert_dim = 24,
  router = "sigmoid", shared_experts = 2,
  normalize = false, qk_norm = true, dense_layers = 1, tie = true})
case("glm4_moe-top-1", model.moe, {experts = 4, top_k = 1, expert_dim = 24, router = "sigmoid",
                                   shared_experts = 1})
case("no-qk_norm", model.moe, {experts = 4, expert_dim = 24})
case("softmax-shared", model.moe, {experts = 4, expert_dim = 24, qk_norm = true,
                                   shared_experts = 1})
case("sigmoid-no-shared", model.moe, {experts = 4, expert_dim = 24, router = "sigmoid"})
case("capacity", model.moe, {experts = 4, expert_dim = 24, qk_norm = true, capacity = 1.2})

local pipe = io.popen(("'%s' '%s/tests/peers/huggingface.py' '%s' 2>&1"):format(peers.python,
  os.getenv "srcdir" or ".", folder))
local seen = 0
for line in pipe:lines() do
  local name, said = line:match "^([%w_-]+): (.*)$"
  if exact[name] ~= nil then
    seen = seen + 1
    tap.ok(said == "ok",
      name .. (exact[name] and ": logits and ids in transformers" or
        ": not loaded by transformers"), said)
  else
    print("# " .. line)
  end
end
pipe:close()
tap.is(seen, 13, "all were looked at")
os.execute("rm -rf '" .. folder .. "'")
tap.done()
