export class Storage {
  private readonly azureStorageKey: string = process.env.AZURE_STORAGE_KEY ?? '';
}
