import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import mssql, mysql, oracle, postgresql, sqlite
from sqlalchemy.ext import associationproxy, automap, hybrid, mutable, orderinglist
from sqlalchemy.testing.schema import Table  # apps do import from there

Base = orm.declarative_base()


class Author(Base):
    __tablename__ = "author"
    id = sa.Column(sa.Integer, primary_key=True)
    name = sa.Column(sa.String(20), nullable=False)
    books = orm.relationship("Book", back_populates="author", cascade="all, delete-orphan")
    titles = associationproxy.association_proxy("books", "title")

    @hybrid.hybrid_property
    def shout(self):
        return self.name + "!"


class Book(Base):
    __tablename__ = "book"
    id = sa.Column(sa.Integer, primary_key=True)
    title = sa.Column(sa.String)
    author_id = sa.Column(sa.ForeignKey("author.id"))
    author = orm.relationship(Author, back_populates="books")


def handler(event, context):
    engine = sa.create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with orm.Session(engine) as session:
        session.add(Author(name="Ann", books=[Book(title="One"), Book(title="Two")]))
        session.commit()
        found = session.query(Author).options(orm.selectinload(Author.books)).filter(Author.shout == "Ann!").one()
        assert sorted(found.titles) == ["One", "Two"]
        assert session.execute(sa.select(sa.func.count()).select_from(Book)).scalar() == 2
        rows = session.execute(sa.select(Author.name, Book.title).join(Book).order_by(Book.title)).all()
        assert rows[1] == ("Ann", "Two")
        session.delete(found)
        session.commit()
        assert session.query(Book).count() == 0
    statement = sa.select(Author).where(Author.name.like("A%")).limit(2)
    for dialect in [mssql, mysql, oracle, postgresql, sqlite]:
        assert "author" in str(statement.compile(dialect=dialect.dialect()))
    assert sa.inspect(engine).get_table_names() == ["author", "book"] and automap and mutable and orderinglist
    assert Table and sa.text("SELECT 1").compile() is not None
    try:
        sa.create_engine("nosuch://")
        raise AssertionError("there is no such dialect")
    except sa.exc.NoSuchModuleError:
        pass
