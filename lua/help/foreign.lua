-- What Python, NumPy, PyTorch and the configurations of others call something, and what it is
-- called here.  Help, unknown names, unknown options and syntax errors of what was typed are
-- answered from these tables.
--
--  1. A phrase stands behind a semicolon of an error's message and alone behind ?name; it has no
--     full stop.
--  2. A name that exists here is not in the tables: what exists is found before.

local foreign = {}

-- "what it is here = names of others"; a phrase may hold any character but =.
local function read(text)
  local list = {}
  for line in text:gmatch "[^\n]+" do
    local phrase, names = line:match "^%s*(.-)%s+<%-%s+(.*)$"
    for name in (names or ""):gmatch "%S+" do list[name] = phrase end
  end
  return list
end

-- ---- names of values and functions ----

local NAMES = read [[
  nothing is nil                                                   <- None null undefined nullptr NULL
  the truth values are true and false                              <- True False
  the number of elements is #x                                     <- len
  counting is for i = 1, n do ... end                              <- range xrange
  pairs of number and value are for i, v in ipairs(t) do ... end   <- enumerate
  walk by index: for i = 1, #a do local x, y = a[i], b[i] end      <- zip
  a text of a value is tostring(x)                                 <- str repr
  a whole number is math.tointeger(x) or x // 1, a number tonumber(x)  <- int float
  lists and dictionaries are tables: {1, 2}, {name = 1}            <- list dict tuple set
  type(x) is its name: type(x) == "number"                         <- isinstance
  it is table.sort(t)                                              <- sorted
  it is a loop: for i = 1, #t do ... end                           <- map filter reduce
  of numbers it is math.abs, math.min, math.max ..., of tensors a:abs(), a:min(), a:max()  <- abs min max
  of numbers it is math.exp, math.sqrt ..., of tensors a:exp(), a:sqrt()  <- exp sqrt sin cos log floor ceil tanh
  of tensors it is a:sum(), a:prod(), a:round()                    <- sum prod round
  of tensors it is a:any(), a:all()                                <- any all
  it is a ^ b                                                      <- pow
  it is table.insert(t, x), or t[#t + 1] = x                       <- append extend push
  it is io.read()                                                  <- input
  it is io.open(path), of lines io.lines(path)                     <- open
  ?name tells about a name, for k in pairs(t) do ... end lists a table  <- dir vars help_on
  it is quit()                                                     <- exit
  it is error("text"), caught by pcall(f)                          <- raise throw Exception ValueError
  it is pcall(f, ...), which returns false and the message of an error  <- try except catch
  a function is function f(x) ... end                              <- def lambda func fn
  a variable is x = 1, in a block local x = 1                      <- var let const
  there are no classes: a model is a function, see ?model.define   <- class self super Module
  it is elseif                                                     <- elif
  it is math.random()                                              <- random
  it is os.clock() and os.time(), waiting is sleep(seconds)        <- time datetime
  arguments of a script are arg[1], arg[2] ..., leaving is quit()  <- sys argv
  formatting is ("%d %.2f"):format(n, x)                           <- printf sprintf fmt
  it is require "name", and nothing of switchyard needs it         <- import include from
  tensors are in tensor: tensor.zeros(2, 3), tensor{{1, 2}, {3, 4}}; ?tensor  <- torch np numpy tf tensorflow jax jnp cupy Tensor array
  charts are the panel's: :help, ?views; numbers are r:history "loss"  <- plt matplotlib pyplot wandb tensorboard SummaryWriter
  data sets are data.text "file" and its like: ?data               <- pd pandas datasets load_dataset Dataset DataLoader
  models of others are model.load "folder", tokenizers tokenizer.load  <- transformers AutoModel AutoModelForCausalLM AutoTokenizer from_pretrained
  there is no device to choose: all is on the CPU, with tensor.threads(n) threads  <- cuda cpu device to gpu mps is_available
  training is train(m, d, {steps = 1000, lr = 1e-3, optimizer = "adamw"}): ?train  <- optim AdamW Adam SGD Muon Adafactor optimizer Trainer fit trainer
]]

-- ---- methods and fields ----

local MEMBERS = read [[
  it is a:clamp(lo, hi)                                            <- clip clamp_ hardtanh
  the number of elements is a.size                                 <- numel nelement
  it is a.ndim                                                     <- dim rank
  all is on the CPU, another dtype is a:cast "f64"                 <- to
  another dtype is a:cast "f64" (f32 f64 bf16 i32 i64 u8 bool)     <- astype type float double half long int short byte bool bfloat16 as_type
  its values are a:table()                                         <- numpy tolist asnumpy
  it is a:matmul(b)                                                <- mm bmm mv addmm inner tensordot matmul_ vdot
  it is tensor.cat({a, b}, dim), or a:cat(b, dim)                  <- concat concatenate hstack vstack column_stack append
  it is tensor.stack({a, b}, dim)                                  <- dstack row_stack
  it is a:unsqueeze(dim)                                           <- expand_dims newaxis
  it is a:clone()                                                  <- copy deepcopy
  it is a:flatten()                                                <- ravel
  it is a:transpose(1, 2) or a:permute(...)                        <- swapaxes moveaxis movedim swapdims t_ adjoint
  it is a:tile(n, ...)                                             <- repeat repeat_interleave
  it is a:view(b.shape), a:expand(b.shape)                         <- view_as expand_as broadcast_to reshape_as
  the places are the second result: local _, places = a:sort()     <- argsort
  it is a:pow(b), or a ^ b                                         <- power float_power
  it is a:mod(b), or a % b                                         <- fmod remainder
  it is a:idiv(b), or a // b                                       <- floor_divide
  it is a:abs()                                                    <- absolute fabs
  it is a:neg(), or -a                                             <- negative
  it is a:log() / math.log(10), a:log() / math.log(2)              <- log10 log2
  it is a:sin() / a:cos()                                          <- tan
  it is a:exp() - 1                                                <- expm1
  a:sort() puts them in order: the middle one is a:flatten():sort()[(a.size + 1) // 2]  <- median quantile percentile
  it is a:eq(b), a:ne(b), a:lt(b), a:gt(b), a:le(b), a:ge(b)       <- greater less not_equal greater_equal less_equal
  it is a:equal(b), or nearly a:allclose(b)                        <- array_equal isclose
  it is a:max(dim), a:min(dim)                                     <- amax amin nanmax nanmin
  it is a:gather(dim, places)                                      <- take take_along_axis take_along_dim
  it is a:index_select(places, dim), or a[places]                  <- index
  it is tensor{...}                                                <- array asarray as_tensor from_numpy FloatTensor LongTensor tensor
  it is tensor.zeros(n, ...)                                       <- empty new_zeros empty_like
  shapes are lists: tensor.rand(a.shape), tensor.randn(a.shape)    <- rand_like randn_like randint_like
  it is tensor.randn(n, ...) or tensor.rand(n, ...)                <- normal uniform random standard_normal
  a random order is the second result of tensor.rand(n):sort()     <- randperm permutation shuffle
  it is tensor.seed(n), or {seed = n} of one draw                  <- manual_seed default_rng
  it is tensor.threads(n)                                          <- set_num_threads get_num_threads
  it is a:grad(true)                                               <- requires_grad_
  it is w.grad = nil                                               <- zero_grad
  a:detach() has no gradient                                       <- no_grad inference_mode stop_gradient
  of a function it is tensor.gradcheck(f, {x}); y:backward() leaves gradients in x.grad  <- autograd jacrev vjp
  it is a[mask], or where it must keep its shape mask:where(a, 0)  <- compress extract
  it is a:bincount(n) of whole numbers                             <- histogram histc
  cumulative are a:cumsum(dim) only                                <- cumprod cummax
  it is nn.linear(x, w, b), with w of nn.param("name", {O, C})     <- Linear Dense
  it is nn.embedding(ids, w)                                       <- Embedding
  they are nn.layernorm(x, w, b) and nn.rmsnorm(x, w)              <- LayerNorm RMSNorm
  it is nn.dropout(x, p)                                           <- Dropout
  it is nn.param("name", shape)                                    <- Parameter register_parameter
  it is nn.state("name", t)                                        <- register_buffer Buffer
  it is nn.attention(x, {heads = 4})                               <- MultiheadAttention scaled_dot_product_attention
  they are methods: x:relu(), x:gelu(), x:silu(), x:sigmoid(), x:tanh(), x:softmax()  <- ReLU GELU SiLU Sigmoid Tanh Softmax functional F
  it is logits:cross_entropy(targets)                              <- CrossEntropyLoss nll_loss
  call one function after another: a model is a function, see ?model.define  <- Sequential ModuleList Module
  parameters are m.params, by number and by name                   <- parameters named_parameters state_dict weights
  it is m:save "folder"; reading is model.load "folder"            <- save_pretrained load_state_dict load_weights
  scores of the next token are m:logits(text), the loss m:loss(text)  <- forward
  evaluation and training choose their mode themselves: train(m, d), m:loss(d), r:eval()  <- eval train_mode
  printed, a model shows its parameters; m:count() counts them     <- summary num_parameters
  it is r:checkpoint()                                             <- save_checkpoint
  it is m:generate(prompt), between two steps of a run r:sample(prompt)  <- sample
  it is r:history "loss"                                           <- metrics log_metrics
  it is every(r, n, function(r) ... end)                           <- callback add_callback
]]

-- Too short to be taken for one where it stands alone.
local LETTERS = read [[
  it is a.T, or a:transpose(1, 2)                                  <- t
]]

-- ---- options ----

local OPTIONS = read [[
  lr          <- learning_rate max_lr peak_lr base_lr
  min_lr      <- lr_min final_lr end_lr learning_rate_min
  steps       <- max_steps num_steps train_steps iterations iters max_iters total_steps num_iterations
  batch       <- batch_size micro_batch_size per_device_train_batch_size bsz train_batch_size
  context     <- block_size seq_len max_seq_len sequence_length seq_length context_length max_length max_position_embeddings n_ctx n_positions
  accumulate  <- gradient_accumulation_steps grad_accum grad_accum_steps accumulation_steps
  warmup      <- warmup_steps warmup_iters num_warmup_steps
  schedule    <- lr_scheduler lr_scheduler_type scheduler
  beta1       <- betas adam_beta1
  beta2       <- adam_beta2
  eps         <- adam_epsilon epsilon
  weight_decay <- wd decay_weight
  clip        <- grad_clip max_grad_norm gradient_clip gradient_clip_val clip_grad
  eval_every  <- eval_steps eval_interval evaluation_interval
  eval_batches <- eval_iters
  checkpoint_every <- save_steps save_every checkpoint_interval save_interval
  precision   <- amp bf16 fp16 mixed_precision torch_dtype
  recompute   <- gradient_checkpointing activation_checkpointing
  name        <- run_name output_dir
  layers      <- n_layer n_layers num_layers num_hidden_layers depth
  dim         <- n_embd hidden_size d_model embed_dim hidden_dim n_embed width
  heads       <- n_head n_heads num_heads num_attention_heads
  kv_heads    <- n_kv_head n_kv_heads num_key_value_heads
  ffn_dim     <- intermediate_size d_ff ffn_hidden_size mlp_dim
  expert_dim  <- moe_intermediate_size expert_size expert_hidden_size intermediate_size d_ff
  experts     <- num_experts n_experts n_routed_experts num_local_experts
  shared_experts <- n_shared_experts num_shared_experts
  top_k       <- num_experts_per_tok experts_per_token k moe_top_k num_experts_per_token
  capacity    <- capacity_factor expert_capacity
  gshard      <- top2 top_2 top2gating top2_gating
  switch      <- top1 top_1 switch_transformer
  vocab       <- vocab_size n_vocab
  tie         <- tie_word_embeddings tied weight_tying
  theta       <- rope_theta rope_base
  router      <- gate gating router_type
  tokens      <- max_new_tokens max_tokens num_tokens length
  temperature <- temp
  val         <- val_split validation_split test_size
  keep        <- keepdim keepdims
  dim         <- axis axes
  correction  <- ddof unbiased
  dtype       <- type
]]

-- Names with several meanings: all of them, in order.
local SEVERAL = {intermediate_size = {"expert_dim", "ffn_dim"}, d_ff = {"expert_dim", "ffn_dim"}}

-- ---- lines ----

-- {pattern of a line without its texts and comments, phrase}; the first that fits counts.
local LINES = {
  {"^%s*from%s+%S+%s+import%f[%W]",
   'nothing needs to be imported: tensor, model, data, train are there; Lua\'s own is require '
   .. '"name"'},
  {"^%s*import%s",
   'nothing needs to be imported: tensor, model, data, train are there; Lua\'s own is require '
   .. '"name"'},
  {"^%s*def%s", "a function is function f(x) ... end"},
  {"%f[%w]lambda%s", "a function without a name is function(x) return x end"},
  {"^%s*class%s", "there are no classes: a model is a function, see ?model.define"},
  {"^%s*for%s.-%sin%s.*[^:]:%s",
   "a loop is for i = 1, n do ... end, over a list for i, x in ipairs(t) do ... end"},
  {"^%s*while%s.*[^:]:%s", "a loop is while x do ... end"},
  {"^%s*if%s.*[^:]:%s", "a condition is if x then ... end"},
  {"^%s*eli?f?s?e?%s.*[^:]:%s", "it is elseif x then"},
  {"^%s*else%s*:%s", "it is else, without a colon"},
  {"^%s*elif%s", "it is elseif x then"},
  {"^%s*try%s*:", "it is pcall(f, ...), which returns false and the message of an error"},
  {"^%s*with%s.*[^:]:%s",
   "there is no with: files close by f:close(), or local f <close> = io.open(path)"},
  {"^%s*raise%s", 'it is error("text")'},
  {"^%s*del%s", "it is x = nil"},
  {"^%s*pass%s*$", "an empty block has nothing in it"},
  {"^%s*continue%s*$", "there is no continue: goto next, with ::next:: before the loop's end"},
  {"^%s*assert%s", "it is assert(x)"},
  {"^%s*let%s", "a variable is x = 1, in a block local x = 1"},
  {"^%s*const%s", "a variable is x = 1, in a block local x = 1"},
  {"^%s*var%s", "a variable is x = 1, in a block local x = 1"},
  {"!=", "not equal is ~= in Lua"},
  {"<>", "not equal is ~= in Lua"},
  {"%*%*", "a power is x ^ 2"},
  {"[%+%-%*/%%]=", "it is x = x + 1"},
  {"%+%+", "it is x = x + 1"},
  {"&&", "it is a and b"},
  {"||", "it is a or b"},
  {"!%s*[%w_(]", "it is not x"},
  {"%sis%s+not%s", "it is x ~= nil"},
  {"%sis%s", "it is x == nil"},
  {"%snot%s+in%s", "a table has no `in`: t[x] ~= nil asks for a key"},
  {"%sif%s.-%selse%s", "it is condition and a or b"},
  {"%?.*:", "it is condition and a or b"},
  {":=", "it is x = 1"},
  {"=>", "a function without a name is function(x) return x end"},
  {"%f[%w_][frbu]%f['\"]", 'a text with values in it is ("%d"):format(x)'},
  {"%f[%w_][%w_.:]+%([^(){}]*%f[%w_][%a_][%w_]*%s*=[^=]",
   "options stand in a table: f(x, {name = value})"},
  {"[%w_%)%]]%s*@%s*[%w_%(]", "a matrix product is a:matmul(b)"},
  {"[%w_%]%)]%s*%[[^%]]*:[^%]]*%]",
   "a part of a tensor is a[{{first, last}}], a column a[{{}, 2}]: ?tensor"},
  {"%[[^%]{]*,[^%]{]*%]", "a list is {1, 2}; an element of a tensor is a[i][j], or a[{i, j}]"},
  {"[=(,]%s*%[", "a list is {1, 2}"},
  {"^%s*%[", "a list is {1, 2}"},
  {"['\"%w_]%s*:%s*['\"%w_]+%s*[,}]", "a table is {name = 1}"},
  {"^%s*#%s*%a", "comments begin with --"},
  {"'%s*%%%s*[%w_(]", 'formatting is ("%d"):format(x)'},
}

-- Comments and the insides of texts leave: they are nobody's syntax.
local function bare(line)
  line = line:gsub("\\.", "  "):gsub('"[^"\n]*"', '""'):gsub("'[^'\n]*'", "''")
  return (line:gsub("%-%-[^\n]*", ""))
end

-- ---- what is asked ----

--- What the name of a value, a function, a method or a field is here: a phrase, or nil.
function foreign.name(name)
  if name:match "^[%a][%w_]*[%w]_$" then -- add_, zero_
    return "operations make new tensors; what writes is a[i] = x and a:fill(x)"
  end
  return NAMES[name] or MEMBERS[name]
end

--- The same of a method or a field: those first.
function foreign.member(name)
  return MEMBERS[name] or LETTERS[name] or foreign.name(name)
end

--- Which of the options in `names` others call so, or nil.
function foreign.option(name, names)
  for _, ours in ipairs(SEVERAL[name] or {OPTIONS[name]}) do
    for _, there in ipairs(names) do
      if there == ours then return ours end
    end
  end
end

--- What is asked about, a name with or without what it belongs to, or an operator: a phrase, or
-- nil.
function foreign.ask(text)
  local last = text:match "[.:]([%a_][%w_]*)$"
  return last and foreign.member(last) or foreign.name(text) or not text:find "%w" and
    foreign.line("a " .. text .. " b") or nil
end

--- What a line of another language is in Lua: a phrase, or nil.
function foreign.line(line)
  line = bare(line) .. " " -- so that what ends a line and what goes on behind a colon look alike
  for _, row in ipairs(LINES) do
    if line:find(row[1]) then return row[2] end
  end
end

--- Whether a line that Lua would go on with is one of Python's blocks: its phrase, or nil.
function foreign.block(text)
  local last = text:match "([^\n]*)%s*$"
  if (bare(last) .. " "):find "[^:]:%s" then return foreign.line(last) end
end

return foreign
