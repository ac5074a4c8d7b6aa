"""Arithmetic with eight numbers at once, the width of a register in float32.

Compiled functions spell vector instructions out by these, because numba leaves short loops to LLVM,
which does not vectorise loops of eight steps. Arrays are one-dimensional and contiguous, and
indices are not checked.

``store(muladd(load(x, 0), spread(factor), load(y, 0)), y, 0)`` adds factor times the first eight
numbers of x to those of y.
"""

from __future__ import annotations

import numba
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, models, register_model

WIDTH = 8
#: Freedoms of the compiler: it may reorder and fuse sums, but keeps NaN and infinity, which reveal
#: broken input.
FAST = ("reassoc", "contract", "nsz", "arcp")


def compiled(function):
    """Compile a function that kernels are made of, and keep the result on disk.

    All such functions are inlined. Otherwise the process that compiles a function would run one
    copy of it and processes that read it from disk another, optimized apart: their sums would
    differ in the last bit.
    """
    options = {"nogil": True, "error_model": "numpy", "fastmath": set(FAST), "forceinline": True}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no folder can be written to
        return numba.njit(**options)(function)


def compiled_apart(function):
    """Compile a function that kernels call as it is, and keep the result on disk.

    For long functions without vector instructions: inlining them would take seconds for each
    kernel. Without the freedoms of ``FAST`` they give the same numbers wherever they are run.
    """
    options = {"nogil": True, "error_model": "numpy"}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no folder can be written to
        return numba.njit(**options)(function)


class Lanes(types.Type):
    """Eight numbers of one type, in a register."""

    def __init__(self, dtype):
        self.dtype = dtype
        super().__init__(name=f"Lanes({dtype})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, front):
        super().__init__(manager, front, ir.VectorType(manager[front.dtype].get_data_type(), WIDTH))


def _address(context, builder, array_type, array, index):
    """Pointer to the eight numbers from ``index`` on."""
    data = context.make_array(array_type)(context, builder, array).data
    vector = ir.VectorType(context.get_data_type(array_type.dtype), WIDTH)
    return builder.bitcast(builder.gep(data, [index]), vector.as_pointer())


@intrinsic
def load(typing, array, index):
    """Load the eight numbers of ``array`` from ``index`` on."""

    def generate(context, builder, signature, arguments):
        pointer = _address(context, builder, signature.args[0], *arguments)
        return builder.load(pointer, align=array.dtype.bitwidth // 8)

    return Lanes(array.dtype)(array, types.intp), generate


@intrinsic
def all_above(typing, array, index, limit):
    """Return whether eight numbers of ``array`` from ``index`` on exceed ``limit``; NaN fails."""

    def generate(context, builder, signature, arguments):
        values, place, bound = arguments
        pointer = _address(context, builder, signature.args[0], values, place)
        eight = builder.load(pointer, align=array.dtype.bitwidth // 8)
        above = builder.fcmp_ordered(">", eight, _eight_times(builder, bound))
        every = builder.bitcast(above, ir.IntType(WIDTH))
        return builder.icmp_unsigned("==", every, ir.Constant(every.type, 2**WIDTH - 1))

    return types.boolean(array, types.intp, array.dtype), generate


@intrinsic
def load_as(typing, array, index, like):
    """Load eight numbers in the precision of the array ``like``, at least that of ``array``."""

    def generate(context, builder, signature, arguments):
        pointer = _address(context, builder, signature.args[0], *arguments[:2])
        value = builder.load(pointer, align=array.dtype.bitwidth // 8)
        wide = context.get_value_type(signature.return_type)
        return value if value.type == wide else builder.fpext(value, wide)

    return Lanes(like.dtype)(array, types.intp, like), generate


@intrinsic
def store(typing, lanes, array, index):
    """Write eight numbers to ``array`` from ``index`` on."""

    def generate(context, builder, signature, arguments):
        value, *place = arguments
        pointer = _address(context, builder, signature.args[1], *place)
        builder.store(value, pointer, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(lanes, array, types.intp), generate


def _eight_times(builder, number):
    vector, lane = ir.VectorType(number.type, WIDTH), ir.IntType(32)
    nothing = ir.Constant(vector, ir.Undefined)
    one = builder.insert_element(nothing, number, ir.Constant(lane, 0))
    first = ir.Constant(ir.VectorType(lane, WIDTH), [0] * WIDTH)
    return builder.shuffle_vector(one, nothing, first)


@intrinsic
def spread(typing, number):
    """Repeat a number eight times."""

    def generate(context, builder, signature, arguments):
        return _eight_times(builder, arguments[0])

    return Lanes(number)(number), generate


@intrinsic
def load_one(typing, array, index):
    """Load the number of ``array`` at ``index``, and repeat it eight times."""

    def generate(context, builder, signature, arguments):
        data = context.make_array(array)(context, builder, arguments[0]).data
        return _eight_times(builder, builder.load(builder.gep(data, [arguments[1]])))

    return Lanes(array.dtype)(array, types.intp), generate


@intrinsic
def muladd(typing, a, b, c):
    """a * b + c."""

    def generate(context, builder, signature, arguments):
        x, y, z = arguments
        return builder.fadd(builder.fmul(x, y, flags=FAST), z, flags=FAST)

    return a(a, b, c), generate


@intrinsic
def total(typing, lanes):
    """The sum of eight numbers."""

    def generate(context, builder, signature, arguments):
        value, lane = arguments[0], ir.IntType(32)
        nothing = ir.Constant(value.type, ir.Undefined)
        for distance in (4, 2, 1):
            order = [(k + distance) % WIDTH for k in range(WIDTH)]
            moved = builder.shuffle_vector(
                value, nothing, ir.Constant(ir.VectorType(lane, WIDTH), order)
            )
            value = builder.fadd(value, moved, flags=FAST)
        return builder.extract_element(value, ir.Constant(lane, 0))

    return lanes.dtype(lanes), generate


def _transposed(builder, rows):
    """Eight vectors whose k-th holds the k-th number of each of ``rows``."""
    lane = ir.IntType(32)
    order = ir.VectorType(lane, WIDTH)
    for distance in (1, 2, 4):
        # Swap the off-diagonal blocks of this size within blocks of twice that size.
        low = [k if not k & distance else WIDTH + k - distance for k in range(WIDTH)]
        high = [k + distance if not k & distance else WIDTH + k for k in range(WIDTH)]
        swapped = list(rows)
        for k in range(WIDTH):
            if not k & distance:
                pair = rows[k], rows[k + distance]
                swapped[k] = builder.shuffle_vector(*pair, ir.Constant(order, low))
                swapped[k + distance] = builder.shuffle_vector(*pair, ir.Constant(order, high))
        rows = swapped
    return rows


def _loaded(context, builder, array, values, at, stride):
    """Pointers to eight rows of a matrix, ``stride`` apart, and the eight numbers at each."""
    pointers = []
    for k in range(WIDTH):
        step = builder.mul(stride, ir.Constant(stride.type, k))
        pointers.append(_address(context, builder, array, values, builder.add(at, step)))
    align = array.dtype.bitwidth // 8
    return pointers, [builder.load(pointer, align=align) for pointer in pointers]


@intrinsic
def transpose(typing, array, source, target, stride):
    """Write the 8 x 8 block at ``source``, its rows ``stride`` apart, mirrored to ``target``."""

    def generate(context, builder, signature, arguments):
        values, begin, end, step = arguments
        _, rows = _loaded(context, builder, array, values, begin, step)
        pointers, _ = _loaded(context, builder, array, values, end, step)
        for pointer, row in zip(pointers, _transposed(builder, rows), strict=True):
            builder.store(row, pointer, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, types.intp), generate


@intrinsic
def symmetrize(typing, array, at, stride):
    """Mirror the upper triangle of the 8 x 8 block at ``at`` and double its diagonal."""

    def generate(context, builder, signature, arguments):
        pointers, rows = _loaded(context, builder, array, *arguments)
        number, order = rows[0].type, ir.VectorType(ir.IntType(32), WIDTH)
        for k, (row, column) in enumerate(zip(rows, _transposed(builder, rows), strict=True)):
            from_column = [j + WIDTH if j < k else j for j in range(WIDTH)]
            mirrored = builder.shuffle_vector(row, column, ir.Constant(order, from_column))
            factor = ir.Constant(number, [2.0 if j == k else 1.0 for j in range(WIDTH)])
            builder.store(
                builder.fmul(mirrored, factor), pointers[k], align=array.dtype.bitwidth // 8
            )
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp), generate
