/** The double's tree of nodes, with what a transaction needs: copies, and generations to compare. */

export interface TreeNode {
  value: Buffer;
  permissions: string[];
  /** Rises with each change of the value, the permissions or the list of children. */
  generation: number;
  readonly children: Map<string, TreeNode>;
}

export class NodeTree {
  private static changes = 0;

  constructor(readonly root: TreeNode = newNode()) {}

  copy(): NodeTree {
    return new NodeTree(copyNode(this.root));
  }

  find(path: string): TreeNode | undefined {
    let node: TreeNode | undefined = this.root;
    for (const name of namesOf(path)) node = node?.children.get(name);
    return node;
  }

  /** The node, made with those above it where they are missing. */
  make(path: string): TreeNode {
    let node = this.root;
    for (const name of namesOf(path)) {
      let child = node.children.get(name);
      if (child === undefined) {
        child = newNode(node.permissions);
        node.children.set(name, child);
        NodeTree.touch(node);
      }
      node = child;
    }
    return node;
  }

  write(path: string, value: Buffer): void {
    const node = this.make(path);
    node.value = value;
    NodeTree.touch(node);
  }

  /** The paths that are gone, `path` first; none where there was no such node. */
  remove(path: string): string[] {
    const node = this.find(path);
    const names = namesOf(path);
    const last = names.pop();
    if (node === undefined || last === undefined) return [];
    const parent = this.find(`/${names.join('/')}`)!;
    parent.children.delete(last);
    NodeTree.touch(parent);
    return pathsBelow(path, node);
  }

  static touch(node: TreeNode): void {
    node.generation = ++NodeTree.changes;
  }
}

function newNode(permissions: readonly string[] = ['n0']): TreeNode {
  const node = { value: Buffer.alloc(0), permissions: [...permissions], generation: 0 };
  const made = { ...node, children: new Map<string, TreeNode>() };
  NodeTree.touch(made);
  return made;
}

function copyNode(node: TreeNode): TreeNode {
  const children = [...node.children].map(([name, child]) => [name, copyNode(child)] as const);
  return { ...node, permissions: [...node.permissions], children: new Map(children) };
}

function pathsBelow(path: string, node: TreeNode): string[] {
  const below = [...node.children].flatMap(([name, child]) => pathsBelow(`${path}/${name}`, child));
  return [path, ...below];
}

function namesOf(path: string): string[] {
  return path.split('/').filter((name) => name !== '');
}
