//! What the sources say: all modules of a library or program, what each defines, imports and mentions; and in which module that
//! stands which another calls by some path. Reads files, by way of whoever asks.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Component, Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree};

/// A module's path, or that of something in it, one name each.
pub(crate) type Names = Vec<String>;

/// What one module says: a file, or a part of one that is a module of its own.
#[derive(Default)]
pub(crate) struct Module {
    pub(crate) file: String,
    /// What it defines itself, modules aside.
    defined: BTreeSet<String>,
    pub(crate) imported: BTreeMap<String, Names>,
    everything_of: Vec<Names>,
    /// Every path in it, as written, and its line.
    pub(crate) mentions: Vec<(Names, usize)>,
}

impl Module {
    fn of(file: &Path) -> Module {
        Module {
            file: file.display().to_string(),
            ..Module::default()
        }
    }
}

/// All modules of one library or program, by their paths; the first name is that of the crate's folder.
#[derive(Default)]
pub(crate) struct Tree {
    pub(crate) modules: HashMap<Names, Module>,
    /// Those that are a file.
    files: HashSet<Names>,
}

/// Where sources come from: the disk, or a test's own words.
pub(crate) type Source<'a> = &'a dyn Fn(&Path) -> Option<String>;

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let syn::Meta::List(list) = &attribute.meta else {
            return attribute.path().is_ident("test");
        };
        let condition = list.tokens.to_string();
        list.path.is_ident("cfg") && (condition == "test" || condition.replace(' ', "").starts_with("all(test,"))
    })
}

/// What `#[path = "…"]` says.
fn told_path(attributes: &[Attribute]) -> Option<String> {
    let told = attributes.iter().find(|attribute| attribute.path().is_ident("path"))?;
    let syn::Expr::Lit(literal) = &told.meta.require_name_value().ok()?.value else {
        return None;
    };
    let syn::Lit::Str(text) = &literal.lit else {
        return None;
    };
    Some(text.value())
}

struct Reader<'a> {
    source: Source<'a>,
    tree: &'a mut Tree,
    at: Names,
    module: Module,
    file: PathBuf,
    /// Where the files of this file's own modules are.
    folder: PathBuf,
}

impl<'a> Reader<'a> {
    /// Reads a file, which is the module `at`, and all modules below.
    fn read(source: Source<'a>, tree: &'a mut Tree, at: Names, file: PathBuf, folder: PathBuf) {
        let text = source(&file).unwrap_or_else(|| panic!("{} cannot be read", file.display()));
        let parsed = syn::parse_file(&text).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
        tree.files.insert(at.clone());
        let module = Module::of(&file);
        let mut reader = Reader {
            source,
            tree,
            at,
            module,
            file,
            folder,
        };
        if !is_for_tests(&parsed.attrs) {
            reader.visit_file(&parsed);
        }
        reader.tree.modules.insert(reader.at, reader.module);
    }

    fn imports(&mut self, before: &Names, tree: &UseTree) {
        let with = |name: &syn::Ident| [before.as_slice(), &[name.to_string()]].concat();
        let (path, name, at) = match tree {
            UseTree::Path(path) => return self.imports(&with(&path.ident), &path.tree),
            UseTree::Group(group) => return group.items.iter().for_each(|item| self.imports(before, item)),
            UseTree::Glob(star) => {
                let line = star.star_token.spans[0].start().line;
                self.module.everything_of.push(before.clone());
                return self.module.mentions.push((before.clone(), line));
            }
            UseTree::Name(name) => (with(&name.ident), name.ident.to_string(), name.ident.span()),
            UseTree::Rename(name) => (with(&name.ident), name.rename.to_string(), name.ident.span()),
        };
        // `use a::b::{self}` imports `b`.
        let (path, name) = match path.split_last() {
            Some((last, rest)) if last == "self" && !rest.is_empty() => {
                let own = rest[rest.len() - 1].clone();
                (rest.to_vec(), if name == "self" { own } else { name })
            }
            _ => (path, name),
        };
        self.module.mentions.push((path.clone(), at.start().line));
        self.module.imported.insert(name, path);
    }

    fn child(&mut self, module: &syn::ItemMod) {
        let name = module.ident.to_string();
        let at = [self.at.as_slice(), std::slice::from_ref(&name)].concat();
        if let Some((_, items)) = &module.content {
            let mut inside = Reader {
                source: self.source,
                tree: self.tree,
                at,
                module: Module::of(&self.file),
                file: self.file.clone(),
                folder: self.folder.join(&name),
            };
            items.iter().for_each(|item| inside.visit_item(item));
            inside.tree.modules.insert(inside.at, inside.module);
            return;
        }
        let (file, folder) = if let Some(told) = told_path(&module.attrs) {
            let file = tidy(&self.file.parent().unwrap().join(told));
            let folder = file.parent().unwrap().to_owned();
            (file, folder)
        } else {
            let folder = self.folder.join(&name);
            let beside = self.folder.join(format!("{name}.rs"));
            let inside = folder.join("mod.rs");
            let is_beside = (self.source)(&beside).is_some();
            (if is_beside { beside } else { inside }, folder)
        };
        Reader::read(self.source, self.tree, at, file, folder);
    }

    /// Paths in what a macro or an attribute is given, which nobody can parse without knowing it.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Names = Vec::new();
        let mut line = 0;
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(name) if colons == 2 && !path.is_empty() => {
                    path.push(name.to_string());
                    colons = 0;
                }
                TokenTree::Punct(colon) if colon.as_char() == ':' => colons += 1,
                other @ (TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Group(_) | TokenTree::Literal(_)) => {
                    self.mention_if_long(std::mem::take(&mut path), line);
                    colons = 0;
                    if let TokenTree::Ident(name) = &other {
                        path.push(name.to_string());
                        line = name.span().start().line;
                    } else if let TokenTree::Group(group) = other {
                        self.tokens(group.stream());
                    }
                }
            }
        }
        self.mention_if_long(path, line);
    }

    /// A name alone was imported, and that is mentioned already.
    fn mention_if_long(&mut self, path: Names, line: usize) {
        if path.len() > 1 {
            self.module.mentions.push((path, line));
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        #[allow(clippy::wildcard_enum_match_arm)] // It is not ours, and says that it will grow.
        let (attributes, name) = match item {
            Item::Const(item) => (&item.attrs, Some(&item.ident)),
            Item::Enum(item) => (&item.attrs, Some(&item.ident)),
            Item::Fn(item) => (&item.attrs, Some(&item.sig.ident)),
            Item::Impl(item) => (&item.attrs, None),
            Item::Macro(item) => (&item.attrs, item.ident.as_ref()),
            Item::Mod(item) => (&item.attrs, None),
            Item::Static(item) => (&item.attrs, Some(&item.ident)),
            Item::Struct(item) => (&item.attrs, Some(&item.ident)),
            Item::Trait(item) => (&item.attrs, Some(&item.ident)),
            Item::Type(item) => (&item.attrs, Some(&item.ident)),
            Item::Union(item) => (&item.attrs, Some(&item.ident)),
            Item::Use(item) => (&item.attrs, None),
            other => return visit::visit_item(self, other),
        };
        if is_for_tests(attributes) {
            return;
        }
        if let Some(name) = name {
            self.module.defined.insert(name.to_string());
        }
        visit::visit_item(self, item);
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        self.child(module);
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if item.leading_colon.is_none() {
            self.imports(&Vec::new(), &item.tree);
        }
    }

    fn visit_impl_item_fn(&mut self, method: &'ast syn::ImplItemFn) {
        if !is_for_tests(&method.attrs) {
            visit::visit_impl_item_fn(self, method);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            let names = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            let line = path.segments[0].ident.span().start().line;
            self.module.mentions.push((names, line));
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, given: &'ast syn::Macro) {
        self.visit_path(&given.path);
        self.tokens(given.tokens.clone());
    }

    fn visit_meta_list(&mut self, list: &'ast syn::MetaList) {
        self.tokens(list.tokens.clone());
    }

    /// Who may see a thing is nothing that it uses.
    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}
}

/// Without `..`.
fn tidy(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut tidied, part| {
        if part == Component::ParentDir {
            tidied.pop();
        } else {
            tidied.push(part);
        }
        tidied
    })
}

/// Re-exports that are followed one after the other.
const DEEPEST: usize = 12;

impl Tree {
    /// Of a library or program with this root.
    pub(crate) fn read(source: Source, name: &str, root: &str) -> Tree {
        let mut tree = Tree::default();
        let root = PathBuf::from(root);
        let folder = root.parent().unwrap().to_owned();
        Reader::read(source, &mut tree, vec![name.to_owned()], root, folder);
        tree
    }

    /// The module in which that stands which is called so in the module `at`; none if it is of another crate, or no item.
    pub(crate) fn home(&self, at: &[String], path: &[String]) -> Option<Names> {
        self.follow(at, path, DEEPEST)
    }

    fn follow(&self, at: &[String], path: &[String], deep: usize) -> Option<Names> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => self.below(&at[..1], rest, deep, true),
            "self" => self.below(at, rest, deep, true),
            "super" => self.below(&at[..at.len().checked_sub(1)?], rest, deep, true),
            _ => self.below(at, path, deep, false),
        }
    }

    /// The same below a module. Where the path `leads` here, what is not found was made by a macro, or is another crate's.
    fn below(&self, at: &[String], path: &[String], deep: usize, leads: bool) -> Option<Names> {
        let Some((name, rest)) = path.split_first() else {
            return Some(at.to_vec());
        };
        if name == "super" {
            return self.follow(at, path, deep);
        }
        let module = self.modules.get(at)?;
        let deep = deep.checked_sub(1)?;
        let child = [at, std::slice::from_ref(name)].concat();
        let is_module = self.modules.contains_key(&child);
        // A function may be called like the module beside it.
        if module.defined.contains(name) && (rest.is_empty() || !is_module) {
            return Some(at.to_vec());
        }
        if is_module {
            return self.below(&child, rest, deep, true);
        }
        let here = || leads.then(|| at.to_vec());
        if let Some(path) = module.imported.get(name) {
            return self.follow(at, &[path.as_slice(), rest].concat(), deep).or_else(here);
        }
        // Where all of `name` is asked for, that is no answer to what `name` is.
        let everything = module.everything_of.iter().filter(|path| path.first() != Some(name));
        let mut of = everything.filter_map(|path| self.follow(at, path, deep).filter(|home| home != at));
        of.find_map(|home| self.below(&home, path, deep, false)).or_else(here)
    }

    /// The file that a module is in.
    pub(crate) fn file_of<'a>(&self, module: &'a [String]) -> &'a [String] {
        let mut file = module;
        while !self.files.contains(file) {
            file = &file[..file.len() - 1];
        }
        file
    }
}
