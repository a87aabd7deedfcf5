// Steps: each works on n numbers of a block. Results may replace an argument of the same width.
typedef void Step(I n, char* d, const char* a, const char* b, const char* c);
typedef signed char B1;

template <class T, class F> INLINE void each1(I n, char* d0, const char* a0, F f) {
  TYPES;
  T* d = (T*)d0;
  const T* a = (const T*)a0;
  I i = 0;
  for (; i + C::W <= n; i += C::W) put<T>(d + i, f(get<T>(a + i)));
  if (i < n) {
    V x = every<T>(T(1));
    __builtin_memcpy(&x, a + i, (n - i) * sizeof(T));
    x = f(x);
    __builtin_memcpy(d + i, &x, (n - i) * sizeof(T));
  }
}
template <class T, class F> INLINE void each2(I n, char* d0, const char* a0, const char* b0, F f) {
  TYPES;
  T* d = (T*)d0;
  const T *a = (const T*)a0, *b = (const T*)b0;
  I i = 0;
  for (; i + C::W <= n; i += C::W) put<T>(d + i, f(get<T>(a + i), get<T>(b + i)));
  if (i < n) {
    V x = every<T>(T(1)), y = every<T>(T(1));
    __builtin_memcpy(&x, a + i, (n - i) * sizeof(T));
    __builtin_memcpy(&y, b + i, (n - i) * sizeof(T));
    x = f(x, y);
    __builtin_memcpy(d + i, &x, (n - i) * sizeof(T));
  }
}
// Plain loops, which the compiler makes vectors of.
template <class R, class T, class F> INLINE void plain(I n, char* d0, const char* a0, const char* b0, F f) {
  R* d = (R*)d0;
  const T *a = (const T*)a0, *b = (const T*)b0;
#pragma GCC ivdep
  for (I i = 0; i < n; i++) d[i] = R(f(a[i], b[i]));
}
template <class T, class F> INLINE void compare(I n, char* d0, const char* a0, const char* b0, F f) {
  TYPES;
  B1* d = (B1*)d0;
  const T *a = (const T*)a0, *b = (const T*)b0;
  I i = 0;
  for (; i + C::W <= n; i += C::W) {
    const typename C::B m = __builtin_convertvector(f(get<T>(a + i), get<T>(b + i)), typename C::B) & 1;
    __builtin_memcpy(d + i, &m, sizeof(m));
  }
  for (; i < n; i++) d[i] = B1(f(a[i], b[i]) ? 1 : 0);
}
template <class T> static void where(I n, char* d0, const char* a0, const char* b0, const char* c0) {
  T* d = (T*)d0;
  const B1* a = (const B1*)a0;
  const T *b = (const T*)b0, *c = (const T*)c0;
#pragma GCC ivdep
  for (I i = 0; i < n; i++) {
    const T x = b[i], y = c[i];
    d[i] = a[i] ? x : y;
  }
}
template <class R, class T> static void convert(I n, char* d, const char* a, const char*, const char*) {
  plain<R, T>(n, d, a, a, [](T x, T) { return R(x); });
}
template <class T> static void to_bool(I n, char* d, const char* a, const char*, const char*) {
  plain<B1, T>(n, d, a, a, [](T x, T) { return x != 0; });
}
template <class T> static void move(I n, char* d, const char* a, const char*, const char*) {
  if (d != a) __builtin_memcpy(d, a, n * sizeof(T));
}

#define ARGS I n, char *d, const char *a, [[maybe_unused]] const char *b, const char*
#define ONE(name, expression) \
  template <class T> static void s_##name(ARGS) { TYPES; each1<T>(n, d, a, [](V x) { return expression; }); }
#define TWO(name, expression) \
  template <class T> static void s_##name(ARGS) { TYPES; each2<T>(n, d, a, b, [](V x, V y) { return expression; }); }
#define PLAIN(name, expression) \
  template <class T> static void s_##name(ARGS) { plain<T, T>(n, d, a, b, [](T x, [[maybe_unused]] T y) -> T { return expression; }); }
#define TEST(name, op) \
  template <class T> static void s_##name(ARGS) { compare<T>(n, d, a, b, [](auto x, auto y) { return x op y; }); } \
  template <class T> static void i_##name(ARGS) { plain<B1, T>(n, d, a, b, [](T x, T y) -> B1 { return x op y; }); }
#define INTEGER(name, expression) \
  template <class T> static void i_##name(ARGS) { plain<T, T>(n, d, a, b, [](T x, [[maybe_unused]] T y) -> T { return expression; }); }

ONE(neg, -x)
ONE(abs, magnitude<T>(x))
ONE(reciprocal, T(1) / x)
ONE(exp, exp_of<T>(x))
ONE(expm1, expm1_of<T>(x))
ONE(tanh, tanh_of<T>(x))
ONE(sigmoid, sigmoid_of<T>(x))
ONE(log, log_of<T>(x))
ONE(log1p, log1p_of<T>(x))
TWO(add, x + y)
TWO(sub, x - y)
TWO(mul, x * y)
TWO(div, x / y)
// A NaN in either argument comes through, as in torch.
TWO(minimum, (x < y) | (x != x) ? x : y)
TWO(maximum, (x > y) | (x != x) ? x : y)
PLAIN(sqrt, sizeof(T) == 4 ? T(__builtin_sqrtf(float(x))) : T(__builtin_sqrt(double(x))))
PLAIN(rsqrt, T(1) / (sizeof(T) == 4 ? T(__builtin_sqrtf(float(x))) : T(__builtin_sqrt(double(x)))))
PLAIN(floor, sizeof(T) == 4 ? T(__builtin_floorf(float(x))) : T(__builtin_floor(double(x))))
PLAIN(sign, T(x > 0) - T(x < 0))
PLAIN(pow, T(sizeof(T) == 4 ? __builtin_powf(float(x), float(y)) : __builtin_pow(double(x), double(y))))
PLAIN(erf, T(sizeof(T) == 4 ? __builtin_erff(float(x)) : __builtin_erf(double(x))))
TEST(lt, <)
TEST(le, <=)
TEST(gt, >)
TEST(ge, >=)
TEST(eq, ==)
TEST(ne, !=)
INTEGER(neg, T(0 - (unsigned long long)x))
INTEGER(abs, x < 0 ? T(0 - (unsigned long long)x) : x)
INTEGER(sign, (x > 0) - (x < 0))
INTEGER(add, T((unsigned long long)x + (unsigned long long)y))
INTEGER(sub, T((unsigned long long)x - (unsigned long long)y))
INTEGER(mul, T((unsigned long long)x * (unsigned long long)y))
// Rounded down; 0 for a division by 0.
INTEGER(div, y == 0 ? 0 : y == -1 ? T(0 - (unsigned long long)x) : x / y - ((x % y != 0) & ((x < 0) != (y < 0))))
INTEGER(minimum, x < y ? x : y)
INTEGER(maximum, x > y ? x : y)
INTEGER(and, x & y)
INTEGER(or, x | y)
static void b_not(ARGS) { plain<B1, B1>(n, d, a, a, [](B1 x, B1) -> B1 { return x == 0; }); }

// Sine and cosine: float by double, whose reduction is exact enough; sizes beyond LIMIT one by one.
template <bool COSINE> INLINE double wave_scalar(double x) { return COSINE ? __builtin_cos(x) : __builtin_sin(x); }
template <bool COSINE> static void wave_block(I n, double* d, const double* a) {
  typedef Vec<double>::V V;
  Vec<double>::M usual = Vec<double>::M{} - 1;
  for (I i = 0; i < n; i += Vec<double>::W) {
    const V x = get<double>(a + i);
    put<double>(d + i, x == 0 && !COSINE ? x : wave<double>(x, COSINE));
    usual &= magnitude<double>(x) <= LIMIT;
  }
  I all = -1;
  for (int l = 0; l < int(Vec<double>::W); l++) all &= usual[l];
  if (all) return;
  for (I i = 0; i < n; i++)
    if (!(__builtin_fabs(a[i]) <= LIMIT)) d[i] = wave_scalar<COSINE>(a[i]);
}
template <class T, bool COSINE> static void s_wave(ARGS) {
  enum { PART = 64 };
  double x[PART], y[PART];
  for (I i = 0; i < n; i += PART) {
    const I m = n - i < PART ? n - i : I(PART);
    for (I j = 0; j < PART; j++) x[j] = j < m ? double(((const T*)a)[i + j]) : 0.0;
    wave_block<COSINE>(PART, y, x);
    for (I j = 0; j < m; j++) ((T*)d)[i + j] = T(y[j]);
  }
}

static bool same(const char* a, const char* b) {
  while (*a && *a == *b) a++, b++;
  return *a == *b;
}
enum Type { FLOAT32, FLOAT64, INT64, BOOL };
#define PICK(name) if (same(op, #name)) return from == FLOAT32 ? s_##name<float> : from == FLOAT64 ? s_##name<double> : (Step*)0;
#define PICK3(name) if (same(op, #name)) return from == FLOAT32 ? s_##name<float> : from == FLOAT64 ? s_##name<double> : from == INT64 ? i_##name<I> : (Step*)0;
#define PICK4(name) if (same(op, #name)) return from == FLOAT32 ? s_##name<float> : from == FLOAT64 ? s_##name<double> : from == INT64 ? i_##name<I> : i_##name<B1>;
template <class T> static Step* conversion_from(I to) {
  return to == FLOAT32 ? convert<float, T> : to == FLOAT64 ? convert<double, T> : to == INT64 ? convert<I, T> : to_bool<T>;
}
static Step* find(const char* op, I from, I to) {
  if (same(op, "copy")) {
    if (from == to) return from == FLOAT32 ? move<float> : from == BOOL ? move<B1> : move<double>;
    return from == FLOAT32 ? conversion_from<float>(to) : from == FLOAT64 ? conversion_from<double>(to)
         : from == INT64 ? conversion_from<I>(to) : conversion_from<B1>(to);
  }
  if (same(op, "where"))
    return from == FLOAT32 ? where<I4> : from == FLOAT64 ? where<I> : from == INT64 ? where<I> : where<B1>;
  if (same(op, "not")) return from == BOOL ? b_not : (Step*)0;
  if (same(op, "and")) return from == INT64 ? i_and<I> : from == BOOL ? i_and<B1> : (Step*)0;
  if (same(op, "or")) return from == INT64 ? i_or<I> : from == BOOL ? i_or<B1> : (Step*)0;
  if (same(op, "sin")) return from == FLOAT32 ? s_wave<float, false> : from == FLOAT64 ? s_wave<double, false> : (Step*)0;
  if (same(op, "cos")) return from == FLOAT32 ? s_wave<float, true> : from == FLOAT64 ? s_wave<double, true> : (Step*)0;
  PICK(sqrt) PICK(rsqrt) PICK(reciprocal) PICK(exp) PICK(log) PICK(log1p) PICK(expm1) PICK(tanh) PICK(sigmoid)
  PICK(erf) PICK(floor) PICK(pow)
  PICK3(neg) PICK3(abs) PICK3(sign) PICK3(add) PICK3(sub) PICK3(mul) PICK3(div) PICK3(minimum) PICK3(maximum)
  PICK4(lt) PICK4(le) PICK4(gt) PICK4(ge) PICK4(eq) PICK4(ne)
  return 0;
}
// The address of a step's function, 0 if there is none for these types of its arguments and result.
extern "C" I program_step(const char* op, I from, I to) { return I(find(op, from, to)); }
