// Loops. Their words: see encode.py.
enum { HEADER = 14, ACCESS = 8 };

struct Plan {
  const I* words;
  I number, block, loads, accesses, values, items, constants;
  const I *slots, *constant_words, *item_words;
  Access* access;
  int axes, along;       // axes, and the one whose points are the rows of blocks
  I n[AXES], rows, width; // their sizes, rows of a block, points of a row
  int order[AXES];       // outer axes and pieces, slowest first
  I counts[AXES], tasks, apart; // of each in order; apart: tasks that add to different places, times per
  I per;
  I thread_bytes;
  char* thread_scratch;
};

INLINE I smaller(I a, I b) { return a < b ? a : b; }

static bool read_accesses(Frame& f, Plan& p, int nd) {
  const I* w = p.words + HEADER + nd + p.values;
  for (I a = 0; a < p.accesses; a++, w += ACCESS + 2 * nd) {
    Access& x = p.access[a];
    x.type = w[1], x.offset = f.sizes[w[2]], x.value = w[6], x.flags = w[7];
    x.data = w[0] < 0 ? 0 : f.buffers[w[0]];
    x.index = 0, x.step = 0, x.index_offset = 0, x.lowest = x.highest = 0;
    I low = x.offset, high = x.offset, index_low = 0, index_high = 0;
    const bool indexed = w[3] >= 0;
    if (indexed) index_low = index_high = x.index_offset = f.sizes[w[4]], x.step = f.sizes[w[5]], x.index = (const I*)f.buffers[w[3]];
    int kept = 0;
    for (int i = 0; i < nd; i++) {
      const I size = f.sizes[p.words[HEADER + i]];
      if (size == 1) continue;
      const I s = f.sizes[w[ACCESS + i]], is = indexed ? f.sizes[w[ACCESS + nd + i]] : 0;
      x.s[kept] = s, x.is[kept++] = is;
      (s < 0 ? low : high) += s * (size - 1);
      (is < 0 ? index_low : index_high) += is * (size - 1);
    }
    if (x.flags & IOTA) continue;
    const I length = f.lengths[w[0]];
    if (indexed) {
      if (x.step < 0 || index_low < 0 || index_high >= f.lengths[w[3]]) return false;
      if (!x.step) {
        x.index = 0;
        for (int i = 0; i < kept; i++) x.is[i] = 0;
      } else {
        x.lowest = low >= 0 ? -(low / x.step) : (x.step - 1 - low) / x.step;
        x.highest = high < length ? (length - 1 - high) / x.step : -((high - length + x.step) / x.step);
        continue;
      }
    }
    if (low < 0 || high >= length) return false;
  }
  return true;
}

// Order axes as they are in the memory of the first plain store.
static void sort_axes(Plan& p) {
  const Access* first = 0;
  for (I a = p.loads; a < p.accesses && !first; a++)
    if (!(p.access[a].flags & ADD) && !p.access[a].index) first = &p.access[a];
  if (!first) return;
  for (int i = 0; i < p.axes; i++)
    if (!first->s[i]) return;
  for (int i = 1; i < p.axes; i++)
    for (int j = i; j > 0 && (first->s[j - 1] < 0 ? -first->s[j - 1] : first->s[j - 1]) < (first->s[j] < 0 ? -first->s[j] : first->s[j]); j--) {
#define SWAP(v) { const I t = v[j]; v[j] = v[j - 1]; v[j - 1] = t; }
      SWAP(p.n)
      for (I a = 0; a < p.accesses; a++) { SWAP(p.access[a].s) SWAP(p.access[a].is) }
#undef SWAP
    }
}

// Make one axis of two wherever every access allows it.
static void merge_axes(Plan& p) {
  for (int i = p.axes - 2; i >= 0; i--) {
    bool one = true;
    for (I a = 0; a < p.accesses && one; a++) {
      const Access& x = p.access[a];
      one = x.s[i] == x.s[i + 1] * p.n[i + 1] && x.is[i] == x.is[i + 1] * p.n[i + 1];
    }
    if (!one) continue;
    p.n[i] *= p.n[i + 1];
    for (int j = i + 1; j < p.axes - 1; j++) p.n[j] = p.n[j + 1];
    for (I a = 0; a < p.accesses; a++) {
      Access& x = p.access[a];
      x.s[i] = x.s[i + 1], x.is[i] = x.is[i + 1];
      for (int j = i + 1; j < p.axes - 1; j++) x.s[j] = x.s[j + 1], x.is[j] = x.is[j + 1];
    }
    p.axes--;
  }
}

static void choose_blocks(Plan& p) {
  p.width = 1, p.along = p.axes - 1;
  while (p.along > 0 && p.width * p.n[p.along] <= p.block) p.width *= p.n[p.along--];
  const I size = p.n[p.along];
  if (size * p.width <= p.block) {
    p.rows = size;
    return;
  }
  const I most = p.block / p.width, pieces = (size + most - 1) / most;
  p.rows = (size + pieces - 1) / pieces;
  if (p.width == 1 && pieces > 1) p.rows = smaller(most, (p.rows + 15) / 16 * 16);
}

// Where the runs of a row begin: its last axis is within the runs.
static void make_runs(Access& x, I* table) {
  const int last = x.inner - 1;
  I count[AXES] = {};
  x.run = x.in[last], x.stride = x.ins[last], x.runs = 1;
  for (int j = 0; j < last; j++) x.runs *= x.in[j];
  for (I i = 0; i < x.runs; i++) {
    I at = 0;
    for (int j = 0; j < last; j++) at += count[j] * x.ins[j];
    table[i] = at;
    for (int j = last - 1; j >= 0 && ++count[j] == x.in[j]; j--) count[j] = 0;
  }
}

static void make_table(const Plan& p, const I* s, I* table) {
  I count[AXES] = {};
  for (I i = 0; i < p.width; i++) {
    I at = 0;
    for (int j = p.along + 1; j < p.axes; j++) at += count[j] * s[j];
    table[i] = at;
    for (int j = p.axes - 1; j > p.along && ++count[j] == p.n[j]; j--) count[j] = 0;
  }
}

static void plan_access(const Plan& p, Access& x, I* tables) {
  x.rs = x.s[p.along], x.irs = x.is[p.along];
  x.inner = 0, x.scattered = false, x.reduces = false;
  for (int j = p.along + 1; j < p.axes; j++) {
    const int last = x.inner - 1;
    if (x.is[j]) x.scattered = true;
    if (last >= 0 && x.ins[last] == x.s[j] * p.n[j] && x.inis[last] == x.is[j] * p.n[j]) {
      x.in[last] *= p.n[j], x.ins[last] = x.s[j], x.inis[last] = x.is[j];
    } else {
      x.in[x.inner] = p.n[j], x.ins[x.inner] = x.s[j], x.inis[x.inner++] = x.is[j];
    }
  }
  if (x.flags & ADD) {
    if (!x.index)
      for (int j = 0; j <= p.along; j++)
        if (!x.s[j] && (j < p.along || p.rows < p.n[j])) x.reduces = true;
    return;
  }
  const I one = x.inner == 1 ? x.ins[0] : 0;
  const bool alone = p.n[p.along] == 1;
  x.kind = TABLE;
  if (x.flags & IOTA) x.kind = TABLE;
  else if (x.inner == 0) x.stride = x.rs, x.kind = x.rs ? LINEAR : FILL;
  else if (x.inner == 1 && !one) x.kind = x.rs ? REPEAT : FILL;
  else if (x.inner == 1 && (alone || x.rs == one * p.width)) x.stride = one, x.kind = LINEAR;
  else if (x.inner == 1 && one == 1) x.kind = ROWS;
  const bool store = &x >= p.access + p.loads;
  if (x.index && x.kind == LINEAR && x.inner) x.kind = one == 1 ? ROWS : TABLE;
  if (x.index && x.inner == 0) x.kind = ROWS;
  if (x.kind == TABLE && !x.index && x.inner > 1 && x.in[x.inner - 1] >= 8 && !(x.flags & IOTA)) {
    const I stride = x.ins[x.inner - 1];
    if (stride == 1 || (!stride && !store)) {
      x.kind = RUNS;
      make_runs(x, x.table = tables);
    }
  }
  if (x.kind == TABLE || x.scattered || (store && (x.index || x.kind == FILL || x.kind == REPEAT))) make_table(p, x.s, x.table = tables);
  if (x.scattered || (store && x.index)) make_table(p, x.is, x.index_table = tables + p.block);
}

// Outer axes over which a store sums go last, so that sums stay in registers' reach until they are complete.
static void order_tasks(Plan& p) {
  int number = 0;
  p.tasks = 1, p.apart = 1, p.per = 1;
  if (p.along == 0 && p.rows == p.n[0]) {
    p.order[0] = 0, p.counts[0] = 1;
    return;
  }
  for (int pass = 0; pass < 2; pass++)
    for (int j = 0; j <= p.along; j++) {
      bool summed = false;
      for (I a = p.loads; a < p.accesses; a++) {
        const Access& x = p.access[a];
        if ((x.flags & ADD) && !x.index && !x.s[j]) summed = true;
      }
      if (summed != (pass == 1)) continue;
      const I count = j == p.along ? (p.n[j] + p.rows - 1) / p.rows : p.n[j];
      p.order[number] = j, p.counts[number++] = count, p.tasks *= count;
      if (!summed) p.apart *= count;
    }
  p.per = p.tasks / p.apart;
}

static I threads_of(const Frame& f, const Plan& p, I points) {
  if (f.threads < 2 || p.tasks < 2) return 1;
  I threads = smaller(f.threads, points * p.words[9] / 65536);
  if (threads < 2) return 1;
  bool one_place = true;
  for (I a = p.loads; a < p.accesses; a++) {
    const Access& x = p.access[a];
    if (x.index) return 1;
    if (!(x.flags & ADD)) continue;
    bool any = false, all = true;
    for (int j = 0; j <= p.along; j++)
      if (p.n[j] > 1 && (j < p.along || p.rows < p.n[j])) (x.s[j] ? all : any) = x.s[j] ? false : true;
    if (any && !all) one_place = false;
  }
  if (p.apart == 1 && one_place) return smaller(threads, p.tasks);
  return smaller(threads, p.apart);
}

template <class T> INLINE bool load_as(Frame& f, const Plan& p, const Access& x, Live& live, char*& at, char* slot, I base, I index_base, Block b) {
  if (x.index) {
    at = slot;
    if (b.rows == 1 && x.kind == ROWS && !x.scattered) {
      const I i = x.index[index_base];
      if (i < x.lowest || i > x.highest) return wrong_index(f, p.number, x, i), false;
      at = x.data + (base + i * x.step) * sizeof(T);
      return true;
    }
    return gather<T>(f, p.number, x, (T*)slot, base, index_base, b);
  }
  const T* a = (const T*)x.data + base;
  if ((x.kind == LINEAR && x.stride == 1) || (x.kind == ROWS && b.rows == 1)) {
    at = (char*)a;
    return true;
  }
  at = slot;
  if (x.flags & KEEP) {
    if (live.base == base && live.rows == b.rows) return true;
    live.base = base, live.rows = b.rows;
  }
  pack<T>(x, (T*)slot, a, b);
  return true;
}
static bool load_block(Frame& f, const Plan& p, const Access& x, Live& live, char*& at, char* slot, I base, I index_base, Block b) {
  if (x.flags & IOTA) {
    I* d = (I*)(at = slot);
    for (I r = 0; r < b.rows; r++)
      for (I q = 0; q < b.width; q++) d[r * b.width + q] = base + r * x.rs + x.table[q];
    return true;
  }
  switch (x.type) {
    case FLOAT32: return load_as<I4>(f, p, x, live, at, slot, base, index_base, b);
    case BOOL: return load_as<B1>(f, p, x, live, at, slot, base, index_base, b);
    default: return load_as<I>(f, p, x, live, at, slot, base, index_base, b);
  }
}
template <class T> INLINE bool store_as(Frame& f, const Plan& p, const Access& x, const char* v, I base, I index_base, Block b) {
  if (x.index) return put_rows<T>(f, p.number, x, (const T*)v, base, index_base, b);
  return unpack<T>(x, (const T*)v, (T*)x.data + base, b), true;
}
static bool store_block(Frame& f, const Plan& p, const Access& x, Live& live, const char* v, I base, I index_base, Block b, char* spare) {
  if (x.flags & ADD) switch (x.type) {
    case FLOAT32: return add_block<float>(f, p.number, x, live, (const float*)v, base, index_base, b, (float*)spare);
    case FLOAT64: return add_block<double>(f, p.number, x, live, (const double*)v, base, index_base, b, (double*)spare);
    default: return add_block<I>(f, p.number, x, live, (const I*)v, base, index_base, b, (I*)spare);
  }
  switch (x.type) {
    case FLOAT32: return store_as<I4>(f, p, x, v, base, index_base, b);
    case BOOL: return store_as<B1>(f, p, x, v, base, index_base, b);
    default: return store_as<I>(f, p, x, v, base, index_base, b);
  }
}

static void start_thread(const Plan& p, char* scratch, char** at, Live* live, char* sums) {
  for (I v = 0; v < p.values; v++) at[v] = scratch + p.slots[v] * p.block;
  for (I a = 0; a < p.accesses; a++) live[a] = Live{-1, -1, (double*)(sums + a * 8 * p.block), 0};
  const I n = p.rows * p.width;
  for (const I* c = p.constant_words; c < p.constant_words + 3 * p.constants; c += 3) {
    char* d = at[c[0]];
    if (c[1] == FLOAT32) fill((I4*)d, I4(c[2]), n);
    else if (c[1] == BOOL) fill((B1*)d, B1(c[2]), n);
    else fill((I*)d, c[2], n);
  }
}

INLINE I item_of(I type) { return type == FLOAT32 ? 4 : type == BOOL ? 1 : 8; }
// Memory of the next block, so that it arrives while this one is computed.
INLINE void fetch(const char* p, I bytes) {
  for (I i = 0; i < bytes; i += 64) __builtin_prefetch(p + i, 0, 2);
}

// The tasks from begin to end, by one thread. Returns its sums, which are not in memory yet.
static Live* run_tasks(Frame& f, const Plan& p, char* scratch, I begin, I end) {
  const I item_bytes = p.words[8] * p.block, spare_bytes = 16 * p.block;
  char *spare = scratch + item_bytes, *sums = spare + spare_bytes;
  Live* live = (Live*)(sums + p.accesses * 8 * p.block);
  I* base = (I*)(live + p.accesses);
  I* index_base = base + p.accesses;
  char** at = (char**)(index_base + p.accesses);
  start_thread(p, scratch, at, live, sums);
  const int outer = p.along + 1;
  I count[AXES], left = begin;
  for (int i = outer - 1; i >= 0; i--) {
    count[i] = 0;
    if (left) count[i] = left % p.counts[i], left /= p.counts[i];
  }
  const Access* stores = p.access + p.loads;
  for (I task = begin; task < end; task++) {
    I start[AXES];
    for (int i = 0; i < outer; i++) start[p.order[i]] = count[i] * (p.order[i] == p.along ? p.rows : 1);
    const Block b = {smaller(p.rows, p.n[p.along] - start[p.along]), p.width};
    const I n = b.rows * b.width;
    for (I a = 0; a < p.accesses; a++) {
      const Access& x = p.access[a];
      I e = x.offset, ie = x.index_offset;
      for (int j = 0; j < outer; j++) e += start[j] * x.s[j];
      if (x.index) for (int j = 0; j < outer; j++) ie += start[j] * x.is[j];
      base[a] = e, index_base[a] = ie;
      const bool flat = x.kind == LINEAR && x.stride == 1;
      if ((x.flags & DIRECT) && flat) at[x.value] = x.data + e * item_of(x.type);
      if (outer == 1 && flat && !x.index && !(x.flags & ADD) && task + 1 < end)
        fetch(x.data + (e + n) * item_of(x.type), n * item_of(x.type));
    }
    for (const I* w = p.item_words; w < p.item_words + 5 * p.items; w += 5) {
      if (w[0] == 0) {
        const Access& x = p.access[w[1]];
        if (!load_block(f, p, x, live[w[1]], at[x.value], scratch + p.slots[x.value] * p.block, base[w[1]], index_base[w[1]], b)) return live;
      } else if (w[0] == 1) {
        const Access& x = stores[w[1]];
        if ((x.flags & DIRECT) && x.kind == LINEAR && x.stride == 1) continue;
        const I a = p.loads + w[1];
        if (!store_block(f, p, x, live[a], at[x.value], base[a], index_base[a], b, spare)) return live;
      } else {
        ((Step*)w[0])(n, at[w[1]], at[w[2]], at[w[3]], at[w[4]]);
      }
    }
    for (int i = outer - 1; i >= 0 && ++count[i] == p.counts[i]; i--) count[i] = 0;
    if (__atomic_load_n(&f.error, __ATOMIC_RELAXED)) break;
  }
  return live;
}

static I run_loop(Frame& f, const I* w) {
  const int nd = int(w[3]);
  Plan p;
  p.words = w, p.number = w[2], p.accesses = w[4], p.loads = w[5], p.values = w[6], p.items = w[7];
  p.constants = w[10], p.block = w[11], p.thread_bytes = w[12];
  p.slots = w + HEADER + nd;
  p.constant_words = p.slots + p.values + p.accesses * (ACCESS + 2 * nd);
  p.item_words = p.constant_words + 3 * p.constants;
  p.axes = 0;
  I points = 1;
  for (int i = 0; i < nd; i++) {
    const I size = f.sizes[w[HEADER + i]];
    if (size < 0) return SIZE_ERROR;
    points *= size;
    if (size != 1) p.n[p.axes++] = size;
  }
  if (!points) return 0;
  p.access = (Access*)__builtin_alloca(p.accesses * sizeof(Access));
  if (!read_accesses(f, p, nd)) return BOUNDS_ERROR;
  if (!p.axes) {
    p.axes = 1, p.n[0] = 1;
    for (I a = 0; a < p.accesses; a++) p.access[a].s[0] = p.access[a].is[0] = 0;
  }
  sort_axes(p);
  merge_axes(p);
  choose_blocks(p);
  I* tables = (I*)f.scratch;
  for (I a = 0; a < p.accesses; a++) plan_access(p, p.access[a], tables + 2 * a * p.block);
  order_tasks(p);
  char* scratch = f.scratch + p.accesses * 16 * p.block;
  const I threads = threads_of(f, p, points);
  if (threads == 1) {
    run_tasks(f, p, scratch, 0, p.tasks);
  } else {
    const I units = p.apart == 1 ? p.tasks : p.apart, per = p.tasks / units;
#pragma omp parallel for num_threads(int(threads)) schedule(static, 1)
    for (I t = 0; t < threads; t++)
      run_tasks(f, p, scratch + t * p.thread_bytes, units * t / threads * per, units * (t + 1) / threads * per);
  }
  if (f.error) return f.error;
  for (I t = 0; t < threads; t++) {
    Live* live = (Live*)(scratch + t * p.thread_bytes + w[8] * p.block + 16 * p.block + p.accesses * 8 * p.block);
    for (I a = p.loads; a < p.accesses; a++) {
      const Access& x = p.access[a];
      if (!(x.flags & ADD) || !x.reduces) continue;
      if (x.type == FLOAT32) flush<float>(f, p.number, x, live[a]);
      else if (x.type == FLOAT64) flush<double>(f, p.number, x, live[a]);
      else flush<I>(f, p.number, x, live[a]);
    }
  }
  return 0;
}
