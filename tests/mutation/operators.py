"""Mutants of a source file: each changes one operator, constant, condition or statement."""

from __future__ import annotations

import ast
import hashlib
from dataclasses import dataclass

ARITHMETIC = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "*"),
    ast.Pow: ("**", "*"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
    ast.LShift: ("<<", ">>"),
    ast.RShift: (">>", "<<"),
}
COMPARISONS = {
    ast.Lt: ("<", ["<=", ">="]),
    ast.LtE: ("<=", ["<", ">"]),
    ast.Gt: (">", [">=", "<="]),
    ast.GtE: (">=", [">", "<"]),
    ast.Eq: ("==", ["!="]),
    ast.NotEq: ("!=", ["=="]),
    ast.Is: ("is", ["is not"]),
    ast.IsNot: ("is not", ["is"]),
    ast.In: ("in", ["not in"]),
    ast.NotIn: ("not in", ["in"]),
}
PAIRS = ["min max", "amin amax", "minimum maximum", "argmin argmax", "any all", "floor ceil"]
PAIRS += ["sum mean", "logical_and logical_or"]
SWAPS = {a: b for pair in PAIRS for a, b in (pair.split(), pair.split()[::-1])}
ATOMS = (ast.Name, ast.Constant, ast.Attribute, ast.Call, ast.Subscript)


@dataclass(frozen=True)
class Mutant:
    """A change of bytes `start` to `end` of a file."""

    start: int
    end: int
    new: str
    function: str | None  # Outermost function that contains it; None for code run by the import.
    lines: range  # Lines of the statement, or of its header.

    def apply(self, source: bytes) -> bytes:
        return source[: self.start] + self.new.encode() + source[self.end :]

    def describe(self, source: bytes) -> tuple[str, str]:
        """Return the changed lines before and after."""
        first = source.rfind(b"\n", 0, self.start) + 1
        last = source.find(b"\n", self.end)
        mutated = self.apply(source)
        before, after = source[first:last], mutated[first : last + len(mutated) - len(source)]
        return " ".join(before.decode().split()), " ".join(after.decode().split())


def without_docstrings(source: bytes) -> ast.Module:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and len(body) > 1 and _is_text(body[0]):
            del body[0]
    return tree


def fingerprint(source: bytes) -> str:
    """Return a hash of the code, without comments, docstrings and format."""
    return hashlib.sha256(ast.dump(without_docstrings(source)).encode()).hexdigest()[:16]


def find_mutants(source: bytes) -> list[Mutant]:
    """Return all mutants of a file, in the order of the code."""
    finder = _Finder(source)
    finder.visit(ast.parse(source))
    unique = {(m.start, m.end, m.new): m for m in finder.mutants}
    return sorted(unique.values(), key=lambda m: (m.start, m.end, m.new))


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and not isinstance(node.value.value, int | float)
    )


class _Finder(ast.NodeVisitor):
    def __init__(self, source: bytes) -> None:
        self.source = source
        self.line_starts = [0]
        for line in source.splitlines(keepends=True):
            self.line_starts.append(self.line_starts[-1] + len(line))
        self.mutants: list[Mutant] = []
        self.scope: list[str] = []
        self.function: str | None = None
        self.lines = range(0)

    def start(self, node: ast.AST) -> int:
        return self.line_starts[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]

    def end(self, node: ast.AST) -> int:
        return self.line_starts[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]

    def text(self, node: ast.AST) -> str:
        text = self.source[self.start(node) : self.end(node)].decode()
        return text if isinstance(node, ATOMS) else f"({text})"

    def add(self, start: int, end: int, new: str) -> None:
        self.mutants.append(Mutant(start, end, new, self.function, self.lines))

    def replace(self, node: ast.AST, new: str) -> None:
        self.add(self.start(node), self.end(node), new)

    def between(self, left: ast.AST, right: ast.AST, old: str, new: str) -> None:
        """Change an operator between two operands."""
        start = self.source.index(old.encode(), self.end(left), self.start(right))
        self.add(start, start + len(old), new)

    def visit(self, node: ast.AST) -> None:
        if isinstance(node, ast.Raise | ast.JoinedStr | ast.Import | ast.ImportFrom):
            return
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        outer = self.lines
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None)
            last = max(body[0].lineno - 1, node.lineno) if body else node.end_lineno or 0
            self.lines = range(node.lineno, last + 1)
        super().visit(node)
        self.lines = outer

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if any("overload" in ast.unparse(d) for d in node.decorator_list):
            return
        for default in [*node.args.defaults, *node.args.kw_defaults]:
            if default is not None:
                self.visit(default)
        outer = self.function
        self.scope.append(node.name)
        self.function = outer or ".".join(self.scope)
        for child in node.body:
            self.visit(child)
        self.scope.pop()
        self.function = outer

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.scope.append(node.name)
        for child in node.body:
            self.visit(child)
        self.scope.pop()

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_keyword(self, node: ast.keyword) -> None:
        if node.arg != "strict":  # zip(…, strict=True) asserts what is true anyway.
            self.visit(node.value)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.visit(node.body)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        self.generic_visit(node)
        if type(node.op) in ARITHMETIC and not _concatenates(node):
            self.between(node.left, node.right, *ARITHMETIC[type(node.op)])
            if isinstance(node.op, ast.Add | ast.Sub):
                self.replace(node, self.text(node.left))
            if isinstance(node.op, ast.Add):
                self.replace(node, self.text(node.right))

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.generic_visit(node)
        if type(node.op) in ARITHMETIC:
            old, new = ARITHMETIC[type(node.op)]
            self.between(node.target, node.value, f"{old}=", f"{new}=")
        self.replace(node, "pass")

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        self.generic_visit(node)
        self.replace(node, self.text(node.operand))

    def visit_Compare(self, node: ast.Compare) -> None:
        self.generic_visit(node)
        operands = [node.left, *node.comparators]
        for left, op, right in zip(operands, node.ops, operands[1:], strict=False):
            old, news = COMPARISONS[type(op)]
            for new in news:
                self.between(left, right, old, new)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        self.generic_visit(node)
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            self.between(left, right, old, new)

    def visit_Constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, bool):
            self.replace(node, str(not value))
        elif isinstance(value, int):
            for new in {0: [1], 1: [0, 2]}.get(value, [value + 1]):
                self.replace(node, str(new))
        elif isinstance(value, float):
            self.replace(node, str(value + 1.0))

    def visit_Call(self, node: ast.Call) -> None:
        self.generic_visit(node)
        function = node.func
        name = getattr(function, "id", getattr(function, "attr", ""))
        if name in SWAPS and not (name == "sum" and isinstance(function, ast.Name)):
            self.add(self.end(function) - len(name), self.end(function), SWAPS[name])
        if name in ("sorted", "reversed") and isinstance(function, ast.Name):
            self.replace(function, "list")

    def condition(self, node: ast.expr) -> None:
        if not isinstance(node, ast.Compare | ast.BoolOp | ast.UnaryOp):
            self.replace(node, f"(not {self.text(node)})")

    def visit_If(self, node: ast.If | ast.While) -> None:
        self.condition(node.test)
        self.visit(node.test)
        for child in [*node.body, *node.orelse]:
            self.visit(child)

    visit_While = visit_If  # noqa: N815

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.condition(node.test)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for test in node.ifs:
            self.condition(test)
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call):
            self.replace(node, "pass")
        self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> None:
        if isinstance(node.value, ast.BinOp) and not _concatenates(node.value):
            self.replace(node.value, f"-{self.text(node.value)}")
        self.generic_visit(node)

    def visit_Break(self, node: ast.Break) -> None:
        self.replace(node, "continue")

    def visit_Continue(self, node: ast.Continue) -> None:
        self.replace(node, "break")


def _concatenates(node: ast.BinOp) -> bool:
    """Whether + or * joins texts or lists written here, or | joins types."""
    kinds = ast.JoinedStr | ast.List | ast.Tuple
    return any(
        isinstance(o, kinds) or (isinstance(o, ast.Constant) and isinstance(o.value, str))
        for o in (node.left, node.right)
    )
